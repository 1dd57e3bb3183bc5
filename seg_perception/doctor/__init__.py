"""The doctor: checks of this machine; each finding names its fix. Nothing here imports rclpy."""
