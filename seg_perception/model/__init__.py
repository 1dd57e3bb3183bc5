"""Model card and logit calibration: what a network's outputs mean, and how reliable its probabilities are."""
