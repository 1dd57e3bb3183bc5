"""Decisions under uncertainty: cost matrices, measures of risk and the speed rule."""
