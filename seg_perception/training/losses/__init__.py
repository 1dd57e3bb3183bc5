"""What training minimises: losses for labels that may leave a choice of classes, and their sum by a plan's weights."""
