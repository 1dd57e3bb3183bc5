"""From what the network says about image points to evidence about cells: by flat ground, by depth or by points."""
