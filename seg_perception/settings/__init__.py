"""Settings: declared once, read from YAML or ROS parameters."""
