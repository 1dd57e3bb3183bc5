"""Making networks: architecture, losses, data, training loop, calibration. The only room that imports torch."""
