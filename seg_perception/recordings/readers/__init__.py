"""Recordings of every kind as a stream of frames: rosbag2, ROS 1 bags, videos and image files."""
