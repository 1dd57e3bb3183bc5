"""Sensor data as plain arrays: images, depth, point clouds, and the frame that combines them."""
