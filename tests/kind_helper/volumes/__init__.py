"""Volumes of local clusters: real file systems of their size, that fill up, grow and go."""
