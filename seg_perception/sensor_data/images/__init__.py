"""Camera images, raw or compressed, as 8-bit colour; recordings and the ROS node share it."""
