"""Temperature and vector scaling, fitted to labelled images."""
