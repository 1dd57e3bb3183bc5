"""Other ROS processes: player, recorder, demo, doctor, benchmark."""
