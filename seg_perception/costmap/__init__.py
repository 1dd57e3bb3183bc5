"""From class probabilities on the ground to what nav2 reads: the evidence grid and the nav2 encoding."""
