"""`make gpu-check`: whether artifacts are right, stay on the device and are fast on a CUDA GPU: one record."""
