"""Reads how a model's pictures are made into arrays, of the settings that transformers' image processors save."""
