"""Answers of sentence-transformers with its ONNX backend."""

import json
import sys
import warnings

import sentence_transformers
from sentence_transformers import CrossEncoder, SentenceTransformer

warnings.simplefilter("ignore")
job = json.load(sys.stdin)
files = {"file_name": f"onnx/model{job['suffix']}.onnx"}
if job["task"] == "text-ranking":
    model = CrossEncoder(job["folder"], backend="onnx", model_kwargs=files)
    ask = model.predict
else:
    model = SentenceTransformer(job["folder"], backend="onnx", model_kwargs=files)
    ask = model.encode
items = [tuple(item) if isinstance(item, list) else item for item in job["items"]]
answers = {"alone": [ask([item])[0].tolist() for item in items], "together": ask(items).tolist()}
print(json.dumps({**answers, "version": sentence_transformers.__version__}))
