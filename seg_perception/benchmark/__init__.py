"""How fast it is: against its own network, against what else is in use, and as things grow."""
