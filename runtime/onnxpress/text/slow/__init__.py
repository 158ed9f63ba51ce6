"""Segmentation that the Rust library cannot do exactly: sentencepiece with its own table and rounding, and two
tokenizers that transformers has in Python only. `encoder.py` is the way in; nothing here imports tokenizers."""
