"""Images, labels and depth of the simulated world by ray casting."""
