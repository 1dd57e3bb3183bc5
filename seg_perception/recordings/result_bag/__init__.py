"""`result.mcap`: what a replay saw and decided, written and read back."""
