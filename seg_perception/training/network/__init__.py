"""The light segmentation network and its warm start from trained weights."""
