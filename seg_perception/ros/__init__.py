"""The ROS 2 node and what else speaks ROS. The only place that imports rclpy."""
