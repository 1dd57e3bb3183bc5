"""The node's parameters: one table, their ROS declaration, the typed settings, the reference pages."""
