"""Texts to tokens and back: the only importer of tokenizers."""
