"""Recorded data in, recorded results out: rosbag2, ROS 1 bags, videos and image folders, all without ROS."""
