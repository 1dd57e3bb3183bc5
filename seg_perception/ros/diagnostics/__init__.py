"""The node's statistics, and the verdict on them."""
