"""What the simulated world is made of."""
