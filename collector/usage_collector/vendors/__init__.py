"""Recognition bought from other vendors: what they tell of it, as events."""
