"""Running the network: one fused ONNX graph, and engines that run it."""
