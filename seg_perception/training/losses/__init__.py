"""Losses for labels that may leave a choice of classes, and their weighted sum."""
