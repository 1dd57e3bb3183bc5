"""Decoding of camera images to 8-bit colour and of depth images to metres, for recordings and the ROS node."""
