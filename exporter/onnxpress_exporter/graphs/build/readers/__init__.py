"""One file for each model_type, named by it, whose `read(source)` makes an `Architecture` of a loaded model.

A file that only passes another's `read` on is of a family that computes the same.
"""
