"""Starts, configures and activates the node.

ros2 launch seg_perception perception.launch.py camera:=/front_camera
"""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from lifecycle_msgs.msg import Transition

from seg_perception.ros.tools.launch_support import (
    camera_names,
    camera_topics,
    dds_environment,
    given,
    remap_cameras,
    share_file,
)

ARGUMENTS = [
    DeclareLaunchArgument("camera", default_value="/camera", description="namespace of the camera's topics"),
    DeclareLaunchArgument("cameras", default_value="", description="names (and namespaces) of cameras: front,left"),
    DeclareLaunchArgument("image_topic", default_value="image_raw", description="images, below camera or absolute"),
    DeclareLaunchArgument("depth_topic", default_value="", description="aligned depth, below camera or absolute"),
    DeclareLaunchArgument("points_topic", default_value="", description="point cloud (default: the node's own points)"),
    DeclareLaunchArgument("odometry_topic", default_value="/odom", description="used if tf2_ros is not installed"),
    DeclareLaunchArgument("params", default_value=share_file("config/perception.yaml"), description="parameter file"),
    DeclareLaunchArgument("model", default_value="", description="ONNX file (default: the parameter file's)"),
    DeclareLaunchArgument("backend", default_value="", description="runs the network (default: the parameter file's)"),
    DeclareLaunchArgument("precision", default_value="", description="fp32, fp16 or int8 (default: the file's)"),
    DeclareLaunchArgument("matrix", default_value="", description="cost matrix YAML (default: the parameter file's)"),
    DeclareLaunchArgument("image_transport", default_value="", description="raw or compressed (default: the file's)"),
    DeclareLaunchArgument("namespace", default_value="", description="of the node; its topics are below it"),
    DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock"),
    DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
    DeclareLaunchArgument("autostart", default_value="true", description="configure and activate the node"),
    DeclareLaunchArgument("dds_profile", default_value="true", description="configure DDS for large images"),
]


def _start(context):
    def argument(name):
        return LaunchConfiguration(name).perform(context)

    camera, points, cameras = argument("camera"), argument("points_topic"), camera_names(argument("cameras"))
    topics = {"image": argument("image_topic"), "depth": argument("depth_topic")}
    one_camera = [*camera_topics(camera, **topics), *given(points=points).items()]
    node = LifecycleNode(
        package="seg_perception",
        executable="perception_node",
        name="perception",
        namespace=argument("namespace"),
        output="screen",
        parameters=[
            argument("params"),
            {
                **given(
                    model=argument("model"),
                    backend=argument("backend"),
                    precision=argument("precision"),
                    cost_matrix=argument("matrix"),
                    image_transport=argument("image_transport"),
                ),
                **({"cameras": cameras} if cameras else {}),
            },
            {"use_sim_time": argument("use_sim_time").lower() == "true"},
        ],
        remappings=[
            *(remap_cameras(cameras, points, **topics) if cameras else one_camera),
            ("odometry", argument("odometry_topic")),
        ],
        ros_arguments=["--log-level", argument("log_level")],
        additional_env=dds_environment(os.environ) if argument("dds_profile").lower() == "true" else {},
    )

    def change(transition):
        event = ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
        return EmitEvent(event=event, condition=IfCondition(LaunchConfiguration("autostart")))

    # Activate only after configuring, so that a node that an operator deactivates stays inactive.
    when_configured = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[change(Transition.TRANSITION_ACTIVATE)],
    )
    when_failed = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="unconfigured",
        entities=[
            LogInfo(msg="perception could not be configured; see its log above, fix the cause and launch again.")
        ],
    )
    return [
        RegisterEventHandler(when_configured),
        RegisterEventHandler(when_failed),
        node,
        change(Transition.TRANSITION_CONFIGURE),
    ]


def generate_launch_description():
    """The launch description."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start)])
