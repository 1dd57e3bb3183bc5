"""TensorRT and TensorRT-RTX: building plans, the plan cache, and the engine that runs a plan."""
