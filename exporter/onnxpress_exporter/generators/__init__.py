"""Graphs of generating models made from their weights instead of traced."""
