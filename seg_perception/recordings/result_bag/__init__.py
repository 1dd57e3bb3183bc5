"""`result.mcap`: the images, decisions and costmaps of a replay, written and read back."""
