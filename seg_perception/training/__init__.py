"""Training: architecture, losses, data, training loop, calibration. The only part that imports torch."""
