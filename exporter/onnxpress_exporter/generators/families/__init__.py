"""Readers: a checkpoint of one family -> its architecture as data."""
