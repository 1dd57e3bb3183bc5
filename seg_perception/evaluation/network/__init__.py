"""Evaluation of a segmentation network on labelled images."""
