"""What keeps this machine from running the package: findings, each with its mend. Nothing here imports rclpy."""
