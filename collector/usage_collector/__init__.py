"""The usage collector: keeps every usage event safe, exports it signed, proves it complete."""
