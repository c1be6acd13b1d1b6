"""TensorRT for RTX: runs plans that were built for many GPUs, perhaps on a machine without one."""
