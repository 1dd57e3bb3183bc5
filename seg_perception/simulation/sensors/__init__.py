"""Simulated sensors: a LiDAR, and the degradation of images, extrinsics and odometry."""
