"""The ONNX graph: model import, graph editing, the fused graph, and ONNX Runtime."""
