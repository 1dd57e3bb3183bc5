"""TensorRT and TensorRT-RTX: plans, their cache, and the engine that runs them."""
