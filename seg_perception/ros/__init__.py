"""The ROS 2 node and the ROS 2 tools. Only this package imports rclpy."""
