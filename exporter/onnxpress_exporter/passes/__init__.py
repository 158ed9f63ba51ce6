"""Graph -> graph, one rewrite per file, in place; each returns how many times it applied.

numpy and onnx_ir only: a pass knows neither PyTorch nor transformers, nor which model it is given.
"""
