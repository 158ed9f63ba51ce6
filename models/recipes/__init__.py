"""The models by name: one module each says which text, tokenizer, architecture and schedule."""
