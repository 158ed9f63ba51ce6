"""Answers of fastembed, to which a folder is a custom model: pooling and length are said by the caller."""

import importlib.metadata
import json
import sys

from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
from fastembed.rerank.cross_encoder import TextCrossEncoder

job = json.load(sys.stdin)
named = {"model": "our/model", "sources": ModelSource(hf="our/model"), "model_file": f"onnx/model{job['suffix']}.onnx"}
where = {"model_name": "our/model", "specific_model_path": job["folder"]}
if job["task"] == "text-ranking":
    TextCrossEncoder.add_custom_model(**named)
    model = TextCrossEncoder(**where)

    def ask(items):
        return list(model.rerank_pairs(items))
else:
    pooling = PoolingType[job["pooling"].upper()]
    TextEmbedding.add_custom_model(**named, pooling=pooling, normalization=job["normalize"], dim=job["dimensions"])
    model = TextEmbedding(**where)

    def ask(items):
        return [vector.tolist() for vector in model.embed(items)]


items = [tuple(item) if isinstance(item, list) else item for item in job["items"]]
answers = {"alone": [ask([item])[0] for item in items], "together": ask(items)}
print(json.dumps({**answers, "version": importlib.metadata.version("fastembed")}))
