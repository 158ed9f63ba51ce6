"""Answers of onnxruntime-genai."""

import importlib.metadata
import json
import sys

import onnxruntime_genai

job = json.load(sys.stdin)
model = onnxruntime_genai.Model(job["folder"])
tokenizer = onnxruntime_genai.Tokenizer(model)


def ask(items):
    ids = tokenizer.encode_batch(items) if len(items) > 1 else tokenizer.encode(items[0])
    longest = max(len(tokenizer.encode(item)) for item in items)
    settings = onnxruntime_genai.GeneratorParams(model)
    settings.set_search_options(
        max_length=longest + job["options"]["max_new_tokens"], batch_size=len(items), do_sample=False
    )
    generator = onnxruntime_genai.Generator(model, settings)
    generator.append_tokens(ids)
    while not generator.is_done():
        generator.generate_next_token()
    return [tokenizer.decode(generator.get_sequence(row)) for row in range(len(items))]


answers = {"alone": [ask([item])[0] for item in job["items"]], "together": ask(job["items"])}
print(json.dumps({**answers, "version": importlib.metadata.version("onnxruntime-genai")}))
