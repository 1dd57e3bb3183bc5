"""A new class from a few masked pictures: what a shipped network already sees, told apart by its features."""
