"""From a checkpoint that writes text to an artifact: graphs built or traced, held against PyTorch, and made smaller.

`cases` are the texts, `reference` is PyTorch, `through_graphs` the runtime's decoders; `verify` is the gate of the fp32
graphs, `judge` that of their quantized variants, `small` makes these, and `flow` is the whole.
"""
