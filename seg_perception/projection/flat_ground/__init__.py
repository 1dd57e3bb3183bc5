"""Inverse perspective mapping: the ground is the plane that the robot stands on."""
