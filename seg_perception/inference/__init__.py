"""Inference: one fused ONNX graph, and the engines that run it."""
