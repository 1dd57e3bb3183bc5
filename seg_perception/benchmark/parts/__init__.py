"""One part of the benchmark per file."""
