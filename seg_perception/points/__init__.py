"""Point cloud messages -> coordinates."""
