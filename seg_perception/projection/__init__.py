"""From class probabilities at image points to evidence about grid cells: by flat ground, depth or point clouds."""
