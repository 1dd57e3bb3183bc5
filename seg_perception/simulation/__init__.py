"""A small world with exact ground truth: images, labels, depth and the true costmap for any camera and pose."""
