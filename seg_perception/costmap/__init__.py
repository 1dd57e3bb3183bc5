"""From class probabilities on the ground to costmaps for nav2: evidence grid, cell risk and nav2 encoding."""
