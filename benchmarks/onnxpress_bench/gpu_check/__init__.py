"""`make gpu-check`: are artifacts right on a CUDA GPU, do they stay there, and how fast are they? One record.

Never run on a GPU so far: `--rehearse` takes every way through it on a processor, with tiny models.
"""
