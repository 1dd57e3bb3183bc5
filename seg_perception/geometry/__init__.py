"""Cameras, rigid transforms and the ground plane: from pixels to places and back."""
