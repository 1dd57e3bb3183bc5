"""What a network means and how far to believe it: the model card and the calibration of its logits."""
