"""Graphs from a model: built from weights, or traced."""
