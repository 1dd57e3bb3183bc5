"""Few-shot learning: adds a class to a network from a few masked images, by a linear classifier on its features."""
