"""What computes a network: OpenVINO on CPUs, PyTorch on GPUs and as the reference."""
