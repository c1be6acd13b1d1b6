"""TensorRT: runs plans on the GPU model and with the version that built them."""
