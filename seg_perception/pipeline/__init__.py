"""Frame to result: the one place where the stages meet."""
