"""What the node subscribes to, and the frames made of it."""
