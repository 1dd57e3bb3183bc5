"""What a decision costs when the world is only known up to probabilities: cost matrices and measures of risk."""
