"""Plays a recording with its own timing, and starts the node.

ros2 launch seg_perception replay.launch.py bag:=my_bag
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from seg_perception.ros.tools.launch_support import share_file

# Forwarded to perception.launch.py, which describes them.
FORWARDED = (
    "camera",
    "image_topic",
    "depth_topic",
    "points_topic",
    "odometry_topic",
    "params",
    "model",
    "matrix",
    "image_transport",
    "log_level",
)
DEFAULTS = {
    "camera": "/camera",
    "image_topic": "image_raw",
    "odometry_topic": "/odom",
    "params": share_file("config/perception.yaml"),
    "log_level": "info",
}
ARGUMENTS = [
    DeclareLaunchArgument("bag", description="rosbag2 folder, .mcap, .db3 or ROS 1 .bag"),
    DeclareLaunchArgument("rate", default_value="1.0", description="speed relative to the recording"),
    DeclareLaunchArgument("loop", default_value="false", description="restart at the end"),
    *(
        DeclareLaunchArgument(name, default_value=DEFAULTS.get(name, ""), description="as in perception.launch.py")
        for name in FORWARDED
    ),
]


def _start(context):
    def argument(name):
        return LaunchConfiguration(name).perform(context)

    play = [argument("bag"), "--playback-rate", argument("rate")]
    if argument("loop").lower() == "true":
        play.append("--loop")
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(share_file("launch/perception.launch.py")),
            launch_arguments=[*((name, argument(name)) for name in FORWARDED), ("use_sim_time", "true")],
        ),
        Node(package="seg_perception", executable="play", name="player", output="screen", arguments=play),
    ]


def generate_launch_description():
    """The launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])
