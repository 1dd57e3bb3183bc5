"""Your own ONNX network with your own cost matrix: python examples/own_network.py [FOLDER]."""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

import seg_perception as sp
from seg_perception.cli.__main__ import main
from seg_perception.geometry.transforms import mount_to_base_from_optical

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "own_network")
folder.mkdir(exist_ok=True)
# The network: a 1x1 convolution that takes what is greener than grey for grass. Yours comes from training.
weights = {"kernel": np.float32([[0, 0, 0], [-10, 20, -10]]).reshape(2, 3, 1, 1), "bias": np.float32([4, 0])}
node = helper.make_node("Conv", ["image", *weights], ["logits"])
image, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 48, 64])
                 for name, channels in (("image", 3), ("logits", 2)))  # fmt: skip
constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
graph = helper.make_graph([node], "colours", [image], [logits], constants)
model = folder / "colours.onnx"
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), model)

# The model card, as `seg-perception card` writes it, and the cost matrix.
if not model.with_suffix(".yaml").exists():
    main(["card", str(model), "--classes", "Road", "Grass", "--mean", "0", "0", "0", "--std", "1", "1", "1"])
costs = folder / "costs.yaml"
mix_up = "{default: 1, correct: 0}"
costs.write_text(f"{{misclassification: {mix_up}, traverse: {{Road: 0, Grass: 120}}, standing: [], ignore: []}}")

settings = sp.PipelineSettings()
engine = sp.open_engine(model, sp.graph_spec(settings))
pipeline = sp.Pipeline(engine, sp.CostMatrix.load(costs, engine.card.classes), settings)
camera = sp.Camera.from_fields(64, 48, "", [50, 0, 31.5, 0, 50, 23.5, 0, 0, 1], [])
pixels = np.full((48, 64, 3), 90, np.uint8)  # a grey road ...
pixels[:, :32] = (40, 160, 40)  # ... with grass on its left
extrinsics = mount_to_base_from_optical(0.0, 0.0, 1.0, 0.0, 0.3, 0.0)  # 1 m over the ground, 0.3 rad down
result = pipeline.process(sp.Frame(0, pixels, "rgb", camera, sp.Transform.identity(), extrinsics, "camera"))
print("values in the costmap:", *np.unique(result.costmap))
