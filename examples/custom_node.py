"""A ROS 2 node around the pipeline: python examples/custom_node.py --ros-args -r image:=/camera/image_raw."""

import rclpy
from nav_msgs.msg import OccupancyGrid
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

import seg_perception as sp
from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.ros.messages import decode, occupancy_grid
from seg_perception.utils.package_files import find

CAMERA = sp.Camera.from_fields(480, 360, "plumb_bob", [400, 0, 239.5, 0, 400, 179.5, 0, 0, 1], [0.0] * 5)
EXTRINSICS = mount_to_base_from_optical(1.0, 0.0, 1.35, 0.0, 0.04, 0.0)


class CostmapNode(Node):
    def __init__(self):
        super().__init__("costmap_node")
        settings = sp.PipelineSettings()
        engine = sp.open_engine(find("models/urban.onnx"), sp.graph_spec(settings))
        matrix = sp.CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)
        self.pipeline = sp.Pipeline(engine, matrix, settings, remember=False)  # this node knows no poses
        self.publisher = self.create_publisher(OccupancyGrid, "costmap", 1)
        self.create_subscription(Image, "image", self.on_image, qos_profile_sensor_data)

    def on_image(self, message):
        image, header = decode(message, self.pipeline.image_size), message.header
        stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
        pose = sp.Transform.identity()
        frame = sp.Frame(stamp, image.pixels, image.order, CAMERA, pose, EXTRINSICS, header.frame_id)
        result = self.pipeline.process(frame)
        bounds = result.bounds
        self.publisher.publish(occupancy_grid(stamp, "base_link", result.costmap, bounds.origin, bounds.resolution))


if __name__ == "__main__":
    rclpy.init()
    rclpy.spin(CostmapNode())
