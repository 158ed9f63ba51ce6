"""Artifacts of every format version, written by the exporter of that time, with what its runtime answered."""
