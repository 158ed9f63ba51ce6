"""The implementations of `generation.decoder` over the graphs of an artifact."""
