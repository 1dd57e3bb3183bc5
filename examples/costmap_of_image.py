"""The costmap of one image: python examples/costmap_of_image.py [IMAGE]."""

import sys

import cv2
import numpy as np

import seg_perception as sp
from seg_perception.geometry.transforms import mount_to_base_from_optical
from seg_perception.simulation.drive import Drive, Scenario
from seg_perception.utils.package_files import find

image_path = sys.argv[1] if len(sys.argv) > 1 else "image.png"

# Intrinsics from your calibration; `sp.Camera.from_yaml` reads the file that camera_calibration writes.
camera = sp.Camera.from_fields(480, 360, "plumb_bob", [400, 0, 239.5, 0, 400, 179.5, 0, 0, 1], [0.0] * 5)
if len(sys.argv) == 1:  # no image given: render one
    view = next(Drive(Scenario(camera, seed=1)).frames()).view
    cv2.imwrite(image_path, view.rgb[..., ::-1])

settings = sp.PipelineSettings()
engine = sp.open_engine(find("models/urban.onnx"), sp.graph_spec(settings))
matrix = sp.CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)
pipeline = sp.Pipeline(engine, matrix, settings)

frame = sp.Frame(
    stamp_ns=0,
    image=cv2.imread(image_path),
    channel_order="bgr",
    camera=camera,
    odom_from_base=sp.Transform.identity(),
    # Extrinsics: x, y, z in m, roll, pitch, yaw in rad of the camera body in base_link.
    base_from_optical=mount_to_base_from_optical(1.0, 0.0, 1.35, 0.0, 0.04, 0.0),
    frame_id="camera",
)
costmap = pipeline.process(frame).costmap  # int8 [rows, cols]: 0 free, 1 to 98 graded, 100 lethal, -1 unknown
print(f"{costmap.size} cells, {np.count_nonzero(costmap >= 0)} known, {np.count_nonzero(costmap == 100)} lethal")
cv2.imwrite("costmap.png", np.where(costmap < 0, 128, 255 - 2.55 * costmap).astype(np.uint8)[::-1])
