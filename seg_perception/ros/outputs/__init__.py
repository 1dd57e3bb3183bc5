"""The node's publishers."""
