"""A checkpoint: its files, settings, weights and adapters."""
