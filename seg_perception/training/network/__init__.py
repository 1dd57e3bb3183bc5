"""The light segmentation network, and how it starts from trained weights."""
