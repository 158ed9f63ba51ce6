"""`make gpu-check`: whether artifacts are right, stay on the device and are fast on a CUDA GPU. One program, one record."""
