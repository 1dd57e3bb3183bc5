"""ONNX: model import, graph editing, the fused graph, and ONNX Runtime engines."""
