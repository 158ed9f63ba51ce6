"""Answers of optimum-onnx: ORTModelFor... in transformers' own pipelines."""

import importlib.metadata
import json
import sys
import warnings

import onnxruntime
from optimum.onnxruntime import (
    ORTModelForCausalLM,
    ORTModelForFeatureExtraction,
    ORTModelForMaskedLM,
    ORTModelForQuestionAnswering,
    ORTModelForSeq2SeqLM,
    ORTModelForSequenceClassification,
    ORTModelForTokenClassification,
)
from transformers import AutoTokenizer, pipeline

warnings.simplefilter("ignore")
onnxruntime.set_default_logger_severity(3)
CLASSES = {
    "text-classification": ORTModelForSequenceClassification,
    "zero-shot-classification": ORTModelForSequenceClassification,
    "token-classification": ORTModelForTokenClassification,
    "question-answering": ORTModelForQuestionAnswering,
    "fill-mask": ORTModelForMaskedLM,
    "feature-extraction": ORTModelForFeatureExtraction,
    "text-generation": ORTModelForCausalLM,
    "translation": ORTModelForSeq2SeqLM,
}
job = json.load(sys.stdin)
task, folder, suffix = job["task"], job["folder"], job["suffix"]
files = {"file_name": f"model{suffix}.onnx"}
if task == "translation":
    decoder = f"decoder_model_merged{suffix}.onnx"
    # Where a decoder is named, it looks for the one with a past besides, which the merged one is, too.
    files = {
        "encoder_file_name": f"encoder_model{suffix}.onnx",
        "decoder_file_name": decoder,
        "decoder_with_past_file_name": decoder,
    }
model = CLASSES[task].from_pretrained(folder, **files)
tokenizer = AutoTokenizer.from_pretrained(folder)
if task == "text-generation":
    tokenizer.padding_side = "left"
pipe = pipeline(task, model=model, tokenizer=tokenizer)


def ask(items, batch_size):
    if task == "question-answering":
        return [pipe(**item) for item in items]
    if task == "zero-shot-classification":
        return [pipe(item["text"], item["labels"]) for item in items]
    if task == "fill-mask" and len(items) == 1:
        return [pipe(items[0])]
    return pipe(items, batch_size=batch_size, **job["options"])


answers = {"alone": [ask([item], 1)[0] for item in job["items"]], "together": ask(job["items"], len(job["items"]))}
print(json.dumps({**answers, "version": importlib.metadata.version("optimum-onnx")}, default=float))
