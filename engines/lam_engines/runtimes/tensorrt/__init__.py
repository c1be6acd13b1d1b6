"""TensorRT: plans on the GPU and version that they were built for."""
