"""Online extrinsic calibration: the camera's pitch and roll, estimated from how flat ground moves."""
