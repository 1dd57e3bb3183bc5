"""The simulated sensors: LiDAR, and how a camera's images degrade."""
