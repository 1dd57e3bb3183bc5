"""Labelled datasets, described by YAML; shared by training and evaluation."""
