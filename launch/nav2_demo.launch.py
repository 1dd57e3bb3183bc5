"""Starts the node, and nav2 with costmaps that read it.

ros2 launch seg_perception nav2_demo.launch.py camera:=/camera

Start localisation, the robot's description and its drivers separately; nav2 needs map -> odom -> base_link in tf.
"""

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from seg_perception.ros.tools.launch_support import merged_parameters, share_file

ARGUMENTS = [
    DeclareLaunchArgument("camera", default_value="/camera", description="namespace of the camera's topics"),
    DeclareLaunchArgument("image_topic", default_value="image_raw", description="images, below camera or absolute"),
    DeclareLaunchArgument("matrix", default_value="", description="cost matrix YAML (default: the parameter file's)"),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
    DeclareLaunchArgument(
        "costmaps",
        default_value=share_file("config/nav2_costmap.yaml"),
        description="overrides nav2's own parameters",
    ),
]


def _start(context):
    def argument(name):
        return LaunchConfiguration(name).perform(context)

    try:
        nav2 = get_package_share_directory("nav2_bringup")
    except PackageNotFoundError:
        raise RuntimeError(
            "nav2_demo.launch.py needs nav2_bringup; install it: apt-get install ros-$ROS_DISTRO-nav2-bringup"
        ) from None
    forwarded = ("camera", "image_topic", "matrix", "use_sim_time")
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(share_file("launch/perception.launch.py")),
            launch_arguments=[(name, argument(name)) for name in forwarded],
        ),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(f"{nav2}/launch/navigation_launch.py"),
            launch_arguments=[
                ("params_file", merged_parameters(Path(nav2) / "params/nav2_params.yaml", Path(argument("costmaps")))),
                ("use_sim_time", argument("use_sim_time")),
            ],
        ),
    ]


def generate_launch_description():
    """The launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])
