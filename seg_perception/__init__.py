"""Camera images to nav2 costmaps by Bayes risk."""

__version__ = "0.1.0"
