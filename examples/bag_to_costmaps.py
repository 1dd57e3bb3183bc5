"""A bag to costmaps as numpy arrays: python examples/bag_to_costmaps.py [BAG]."""

import sys
from pathlib import Path

import numpy as np

import seg_perception as sp
from seg_perception.simulation.drive import Scenario
from seg_perception.simulation.drive_bag import write_drive
from seg_perception.utils.package_files import find

bag = sys.argv[1] if len(sys.argv) > 1 else "drive"

if not Path(bag).exists():  # render a drive of one second
    camera = sp.Camera.from_fields(480, 360, "plumb_bob", [400, 0, 239.5, 0, 400, 179.5, 0, 0, 1], [0.0] * 5)
    write_drive(Path(bag), Scenario(camera, seed=1, duration=1.0))

settings = sp.PipelineSettings()
engine = sp.open_engine(find("models/urban.onnx"), sp.graph_spec(settings))
matrix = sp.CostMatrix.load(find("config/cost_matrices/road_car.yaml"), engine.card.classes)

stamps, costmaps, origins = [], [], []
with sp.open_recording(bag) as recording:
    # Without poses nothing relates one frame to the next, and each costmap comes from one frame alone.
    pipeline = sp.Pipeline(engine, matrix, settings, remember=recording.has_poses)
    for item in recording.frames():
        if not isinstance(item, sp.Frame):
            print(f"dropped: {item.detail}")
            continue
        result = pipeline.process(item)
        stamps.append(result.stamp_ns)
        costmaps.append(result.costmap)
        origins.append(result.bounds.origin)  # (x, y) of the corner of cell [0, 0] in odom, m

np.savez_compressed("costmaps.npz", stamps_ns=stamps, costmaps=np.stack(costmaps), origins=origins)
print(f"costmaps.npz: {len(costmaps)} costmaps of {costmaps[0].shape[0]} x {costmaps[0].shape[1]} cells")
