"""The node's statistics, and its status for /diagnostics."""
