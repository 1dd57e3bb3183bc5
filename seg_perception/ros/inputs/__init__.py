"""The node's subscriptions, and the frames made of their messages."""
