"""Recordings in, result bags out: rosbag2, ROS 1 bags, videos and image files, all without a ROS installation."""
