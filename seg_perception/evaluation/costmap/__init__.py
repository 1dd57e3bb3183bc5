"""Evaluation of costmaps against ground truth: from the simulator, or from a bag."""
