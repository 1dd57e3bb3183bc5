"""Other ROS processes: player, recorder, demo, doctor and benchmark."""
