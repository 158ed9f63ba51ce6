"""The one table of arguments that other libraries' factories and calls take, and what each becomes here.

docs/migration.md is printed from it. Arguments of a call that have the same meaning here are fields of the tasks'
options; settings of generation stand in generation/settings_fields.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from onnxpress.engine.providers import CUDA, PROVIDERS, parse_device
from onnxpress.errors import InputError
from onnxpress.format.precisions import PRECISIONS
from onnxpress.pipelines.arguments import Argument, Table, is_anything, is_unset, table, translate

TRANSFORMERS, OPTIMUM, SENTENCES = "transformers", "optimum", "sentence-transformers"


def _is_auto(value: Any) -> bool:
    return value is None or value == "auto"


def _is_one_of(*values: Any) -> Any:
    return lambda value: any(value is known or (type(value) is type(known) and value == known) for known in values)


def _dtype(value: Any) -> dict[str, Any]:
    said = value.__name__ if isinstance(value, type) else getattr(value, "name", value)  # numpy.float32 is a class
    name = str(said).removeprefix("torch.")
    for row in PRECISIONS.values():
        if name == row.name or name in row.dtypes:
            return {"precision": row.name}
    raise InputError(
        f"dtype={value!r}: no variant is stored so. Pass precision= {', '.join(PRECISIONS)}, or leave it out."
    )


def _device_map(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        places = {str(place) for place in value.values()}
        if len(places) > 1:
            raise InputError(f"device_map={value!r:.60}: a model runs on one device here: pass device=.")
        return {"device": parse_device(next(iter(value.values())))}
    if value in ("balanced", "balanced_low_0", "sequential"):
        raise InputError(f"device_map={value!r}: a model runs on one device here: pass device=.")
    return {"device": parse_device(value)}


def _provider(value: Any) -> dict[str, Any]:
    names = [value] if isinstance(value, (str, tuple)) else list(value)
    first, said = names[0] if isinstance(names[0], tuple) else (names[0], {})
    for row in PROVIDERS.values():
        if row.name == first:
            return {"device": row.family, **(_provider_options(said) if said else {})}
    known = ", ".join(f'{row.name} (device="{row.family}")' for row in PROVIDERS.values())
    raise InputError(f"provider={first!r}: there are {known}.")


def _provider_options(value: Any) -> dict[str, Any]:
    """Read a dictionary, or a list of one for each provider, of which the first counts as the first provider does."""
    options = value[0] if isinstance(value, (list, tuple)) and value else value
    if not isinstance(options, Mapping):
        raise InputError(f"provider_options={value!r:.60} must be a dictionary, or a list of one for each provider.")
    more = {name: said for name, said in options.items() if name != "device_id"}
    device = {"device": parse_device(f"{CUDA.family}:{options['device_id']}")} if "device_id" in options else {}
    return {**device, **({"provider_options": more} if more else {})}


def _session_options(value: Any) -> dict[str, Any]:
    """Read the threads from onnxruntime's SessionOptions; refuse whatever else differs from a new one."""
    usual = type(value)()
    for name in dir(usual):
        if name.startswith("_") or callable(getattr(usual, name)) or name == "intra_op_num_threads":
            continue
        if getattr(value, name) != getattr(usual, name):
            raise InputError(
                f"session_options: {name} is {getattr(value, name)!r}; only intra_op_num_threads is taken, as "
                "threads=. The rest is set as the graphs were verified with."
            )
    threads = value.intra_op_num_threads
    return {"threads": threads} if threads else {}


def _file_named(meaning: str) -> Any:
    """Read a graph file's name, which stays one: a folder may have files that no precision names."""

    def read(value: Any) -> dict[str, Any]:
        if not str(value).endswith(".onnx"):
            raise InputError(f"file_name={value!r}: a graph is an .onnx file: precision= names a variant as well.")
        return {meaning: PurePath(str(value)).as_posix()}

    return read


def _nested(name: str) -> Any:
    """Read a dictionary of arguments, each of which is known itself."""

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a dictionary, not {type(value).__name__}.")
        for key in value:
            if key not in FACTORY:
                raise InputError(f"{name} has {key!r}, which is no argument here. docs/migration.md lists those known.")
        return translate(value, FACTORY)

    return read


_OUR_GRAPHS = "an artifact has its own graphs: export the checkpoint that you want, `onnxpress export`."
_QUANTIZED = "a quantized variant is made when exporting: onnxpress quantize, then precision=."
_OWN_FILES = "an artifact brings its own. Leave it out, or export the checkpoint that has it."

#: Arguments of onnxpress.pipeline that are our own.
OURS = ("task", "model", "precision", "device", "revision", "threads")

#: Arguments of factories: transformers.pipeline, optimum's pipeline and ORTModel.from_pretrained, SentenceTransformer,
#: CrossEncoder.
FACTORY: Table = table(
    Argument("config", TRANSFORMERS, _OWN_FILES, honour=lambda value: {"config": value}),
    Argument(
        "tokenizer",
        TRANSFORMERS,
        "taken if it gives the ids of the artifact's own tokenizer, which is used.",
        honour=lambda value: {"tokenizer": value},
    ),
    Argument("feature_extractor", TRANSFORMERS, "the artifact says how its sounds are read: leave it out."),
    Argument("image_processor", TRANSFORMERS, "the artifact says how its pictures are read: leave it out."),
    Argument("video_processor", TRANSFORMERS, "there are no tasks of films: leave it out."),
    Argument("processor", TRANSFORMERS, "the artifact says how its inputs are read: leave it out."),
    Argument("use_fast", TRANSFORMERS, "there is one tokenizer, which gives the checkpoint's ids.", is_anything),
    Argument("token", TRANSFORMERS, "goes to the Hub; False sends none.", _is_one_of(None), lambda v: {"token": v}),
    Argument("use_auth_token", TRANSFORMERS, "the old name of token.", _is_one_of(None), lambda v: {"token": v}),
    Argument(
        "device_map",
        TRANSFORMERS,
        'the device that it names; "auto" is the processor, as no device is: pass device="cuda" for a GPU.',
        lambda value: is_unset(value) or value == "auto",
        _device_map,
    ),
    Argument("dtype", TRANSFORMERS, "names the variant that is stored so, as precision= does.", _is_auto, _dtype),
    Argument("torch_dtype", TRANSFORMERS, "the old name of dtype.", _is_auto, _dtype),
    Argument("trust_remote_code", TRANSFORMERS, "no code of a checkpoint is run here.", is_anything),
    Argument("model_kwargs", TRANSFORMERS, "each of them is read as an argument.", is_unset, _nested("model_kwargs")),
    Argument("pipeline_class", TRANSFORMERS, "a task has one class here: wrap the call of the pipeline."),
    Argument("framework", TRANSFORMERS, "ONNX Runtime runs it: leave it out.", _is_one_of(None, "pt", "np", "ort")),
    Argument("modelcard", TRANSFORMERS, "README.md of the artifact is its card.", is_anything),
    Argument("args_parser", TRANSFORMERS, "arguments are read by the task: leave it out."),
    Argument("binary_output", TRANSFORMERS, "results are values; pickle them yourself."),
    Argument("attn_implementation", TRANSFORMERS, "the graph has its attention.", is_anything),
    Argument("low_cpu_mem_usage", TRANSFORMERS, "weights are mapped from the file.", is_anything),
    Argument("use_safetensors", TRANSFORMERS, "weights are in ONNX files.", is_anything),
    Argument("max_memory", TRANSFORMERS, "a model runs on one device here: pass device=."),
    Argument("offload_folder", TRANSFORMERS, "a model runs on one device here: pass device=."),
    Argument("quantization_config", TRANSFORMERS, _QUANTIZED),
    Argument("load_in_8bit", TRANSFORMERS, _QUANTIZED),
    Argument("load_in_4bit", TRANSFORMERS, _QUANTIZED),
    Argument("code_revision", TRANSFORMERS, "no code of a checkpoint is run here.", is_anything),
    Argument("force_download", TRANSFORMERS, "files of the cache are checked by their hashes: leave it out."),
    Argument("resume_download", TRANSFORMERS, "downloads always go on where they ended.", is_anything),
    Argument("proxies", TRANSFORMERS, "set HTTPS_PROXY in the environment."),
    Argument("variant", TRANSFORMERS, "name the variant by precision=."),
    Argument(
        "cache_dir", TRANSFORMERS, "where files of the Hub are kept.", _is_one_of(None), lambda v: {"cache_dir": v}
    ),
    Argument(
        "local_files_only",
        TRANSFORMERS,
        "takes files of the Hub from the cache alone.",
        is_unset,
        lambda value: {"local_files_only": True},
    ),
    Argument(
        "subfolder",
        TRANSFORMERS,
        "the folder inside the model's, with another model or with the graphs.",
        _is_one_of(None, "", "."),
        lambda value: {"subfolder": str(value)},
    ),
    Argument("provider", OPTIMUM, "names the device.", is_unset, _provider),
    Argument("providers", OPTIMUM, "the first names the device.", is_unset, _provider),
    Argument(
        "provider_options",
        OPTIMUM,
        "device_id names the GPU; docs/usage.md lists the others.",
        is_unset,
        _provider_options,
    ),
    Argument("session_options", OPTIMUM, "intra_op_num_threads is threads=.", is_unset, _session_options),
    *(
        Argument(name, OPTIMUM, "names the variant by its file.", is_unset, _file_named(meaning))
        for name, meaning in (
            ("file_name", "graph_file"),
            ("encoder_file_name", "encoder_file"),
            ("decoder_file_name", "decoder_file"),
            ("decoder_with_past_file_name", "past_file"),
        )
    ),
    Argument("model_save_dir", OPTIMUM, "the artifact's folder stays where it is.", is_anything),
    Argument("accelerator", OPTIMUM, "ONNX Runtime runs it: leave it out.", _is_one_of(None, "ort", "onnxruntime")),
    Argument("export", OPTIMUM, "export first: `onnxpress export MODEL OUT`, or onnxpress.export(MODEL, OUT)."),
    Argument("from_transformers", OPTIMUM, "the name of export in old versions: `onnxpress export MODEL OUT`."),
    Argument("use_io_binding", OPTIMUM, "buffers are bound where that is faster.", is_anything),
    Argument("use_cache", OPTIMUM, "the cache changes no answer.", is_anything),
    Argument("use_merged", OPTIMUM, "a decoder is one graph.", is_anything),
    Argument("library_name", OPTIMUM, "the artifact knows what it is.", is_anything),
    Argument("backend", SENTENCES, "ONNX Runtime runs it.", _is_one_of(None, "torch", "onnx")),
    Argument("cache_folder", SENTENCES, "as cache_dir.", _is_one_of(None), lambda value: {"cache_dir": value}),
    Argument("modules", SENTENCES, _OUR_GRAPHS),
    Argument("model_card_data", SENTENCES, "README.md of the artifact is its card.", is_anything),
    Argument("processor_kwargs", SENTENCES, _OUR_GRAPHS),
    Argument("config_kwargs", SENTENCES, _OUR_GRAPHS),
    Argument("keep_in_fp32_modules", SENTENCES, _OUR_GRAPHS),
)

_NO_TRAINING = "there is no training here: leave it out."
_ONE_OUTPUT = "the graph returns what its task needs: export the checkpoint for feature-extraction to see inside."

#: Arguments of a call of a model: transformers' and optimum's `model(**inputs)`.
OF_MODEL_CALLS: Table = table(
    Argument("return_dict", TRANSFORMERS, "outputs are a dictionary with attributes.", is_anything),
    Argument("labels", TRANSFORMERS, _NO_TRAINING),
    Argument("output_hidden_states", TRANSFORMERS, _ONE_OUTPUT),
    Argument("output_attentions", TRANSFORMERS, _ONE_OUTPUT),
    Argument("inputs_embeds", TRANSFORMERS, "a graph reads ids: pass input_ids.", _is_one_of(None)),
    Argument("head_mask", TRANSFORMERS, _ONE_OUTPUT, _is_one_of(None)),
    Argument("past_key_values", TRANSFORMERS, "the cache is the model's own: call generate.", _is_one_of(None)),
    Argument("use_cache", TRANSFORMERS, "the cache changes no answer.", is_anything),
    Argument("position_ids", TRANSFORMERS, "positions are counted from the mask: leave them out.", _is_one_of(None)),
)

_IN_TOKENIZER = "results have no such field: pipe.tokenizer(text, ...) gives it."
_ONE_TYPE = "the graph was verified with it: leave it out."

#: Arguments of a tokenizer that transformers' calls pass on to it, beside those that the tasks' options have.
OF_TOKENIZERS: Table = table(
    Argument("verbose", TRANSFORMERS, "warnings are Python's: filter them.", is_anything),
    Argument("padding_side", TRANSFORMERS, "results do not depend on padding.", is_anything),
    Argument("pad_to_multiple_of", TRANSFORMERS, "results do not depend on padding.", is_anything),
    Argument("stride", TRANSFORMERS, "it says what pieces share, and a text is one piece here.", is_anything),
    Argument("return_tensors", TRANSFORMERS, "results are values, not the tokenizer's arrays."),
    Argument("return_token_type_ids", TRANSFORMERS, _ONE_TYPE, _is_one_of(None, True)),
    Argument("return_attention_mask", TRANSFORMERS, _ONE_TYPE, _is_one_of(None, True)),
    Argument("return_overflowing_tokens", TRANSFORMERS, _IN_TOKENIZER),
    Argument("return_special_tokens_mask", TRANSFORMERS, _IN_TOKENIZER),
    Argument("return_offsets_mapping", TRANSFORMERS, _IN_TOKENIZER),
    Argument("return_length", TRANSFORMERS, _IN_TOKENIZER),
    Argument("is_split_into_words", TRANSFORMERS, 'join the words: " ".join(words).'),
    Argument("text_pair", TRANSFORMERS, 'pass {"text": ..., "text_pair": ...}.', _is_one_of(None)),
    Argument("text_target", TRANSFORMERS, _NO_TRAINING),
    Argument("text_pair_target", TRANSFORMERS, _NO_TRAINING),
    Argument("tokenizer_kwargs", TRANSFORMERS, "pass them as arguments of the call."),
)

#: token-classification of transformers 4.
OF_TOKEN_LABELS: Table = table(
    Argument(
        "grouped_entities",
        TRANSFORMERS,
        "the old name of aggregation_strategy.",
        _is_one_of(None, False),
        lambda value: {"aggregation_strategy": "simple"},
    ),
    Argument("ignore_subwords", TRANSFORMERS, 'pass aggregation_strategy="first".'),
)

#: zero-shot-classification of transformers 4; 5 ignores it.
OF_LABELS: Table = table(
    Argument("multi_class", TRANSFORMERS, "the old name of multi_label: pass that.", _is_one_of(None))
)

#: question-answering of transformers 4.
OF_ANSWERS: Table = table(
    Argument("topk", TRANSFORMERS, "the old name of top_k.", _is_one_of(None), lambda value: {"top_k": value})
)


def _return_type(value: Any) -> dict[str, Any]:
    number = getattr(value, "value", value)
    meanings: dict[Any, dict[str, Any]] = {0: {"return_tensors": True}, 1: {"return_full_text": False}, 2: {}}
    if number not in meanings:
        raise InputError(f"return_type={value!r}: pass return_tensors=True, or return_full_text=True or False.")
    return meanings[number]


#: text-generation, beside the settings of generation.
OF_WRITING: Table = table(
    Argument("return_type", TRANSFORMERS, "0, 1, 2: ids, the new text, all of it.", _is_one_of(None), _return_type),
)


def _return_type_of_texts(value: Any) -> dict[str, Any]:
    number = getattr(value, "value", value)
    if number not in (0, 1):
        raise InputError(f"return_type={value!r}: pass return_tensors=True for ids, or leave it out for text.")
    return {"return_tensors": number == 0}


#: summarization, text2text-generation and translation of transformers 4, beside the settings of generation.
OF_REWRITING: Table = table(
    Argument("return_type", TRANSFORMERS, "0, 1: ids, the text.", _is_one_of(None), _return_type_of_texts),
)


def _activation(value: Any) -> dict[str, Any]:
    """The function of a PyTorch module, told by the name of its class."""
    kind = type(value).__name__.lower()
    names = {"sigmoid": "sigmoid", "identity": "none", "softmax": "softmax", "str": value}
    if kind not in names:
        raise InputError(
            f"activation_fn={value!r:.60}: Sigmoid, Softmax and Identity are known; apply others to the scores."
        )
    return {"function_to_apply": names[kind]}


_ARRAYS = "vectors are arrays of numpy: torch.from_numpy takes them."
_PROCESSES = "one process runs on all its cores: start others, as docs/usage.md says, each with a pipeline."

#: sentence-transformers' arguments of calls of both kinds of model.
_OF_SENTENCE_CALLS = (
    Argument("convert_to_tensor", SENTENCES, _ARRAYS),
    Argument("convert_to_numpy", SENTENCES, _ARRAYS, _is_one_of(None, True)),
    Argument("pool", SENTENCES, _PROCESSES),
    Argument("chunk_size", SENTENCES, _PROCESSES),
    Argument("device", SENTENCES, "the model is open: pass device= to onnxpress.pipeline.", _is_one_of(None, "cpu")),
    Argument(
        "show_progress_bar", SENTENCES, "as progress=.", _is_one_of(None), lambda value: {"progress": bool(value)}
    ),
    Argument("prompts", SENTENCES, "the checkpoint's are in the artifact: pass prompt= to a call."),
    Argument(
        "default_prompt_name", SENTENCES, "as prompt_name=.", _is_one_of(None), lambda value: {"prompt_name": value}
    ),
)

#: SentenceTransformer: encode, and what its constructor says of vectors.
OF_VECTORS: Table = table(
    *_OF_SENTENCE_CALLS,
    Argument("truncate_dim", SENTENCES, "as dimensions=.", _is_one_of(None), lambda value: {"dimensions": value}),
    Argument(
        "normalize_embeddings",
        SENTENCES,
        "as normalize=; False leaves the checkpoint's own.",
        _is_one_of(None, False),
        lambda value: {"normalize": True},
    ),
    Argument(
        "output_value",
        SENTENCES,
        "onnxpress.load(...)(texts).last_hidden_state has a vector for each token.",
        _is_one_of("sentence_embedding"),
    ),
    Argument("similarity_fn_name", SENTENCES, "pipe.similarity is the checkpoint's; compare the vectors yourself."),
    Argument("task", SENTENCES, "as role=.", _is_one_of(None), lambda value: {"role": value}),
    Argument(
        "convert_to_sparse_tensor", SENTENCES, "as sparse=.", _is_one_of(None), lambda value: {"sparse": bool(value)}
    ),
)

#: CrossEncoder: predict, rank, and its constructor.
OF_RANKING: Table = table(
    *_OF_SENTENCE_CALLS,
    Argument("activation_fn", SENTENCES, "as function_to_apply=.", _is_one_of(None), _activation),
    Argument("apply_softmax", SENTENCES, "a pair has one score."),
    Argument("num_labels", SENTENCES, "a pair has one score.", _is_one_of(None, 1)),
)

#: CrossEncoder of several labels: predict.
OF_PAIRS: Table = table(
    *_OF_SENTENCE_CALLS,
    Argument("prompt", SENTENCES, "put it before the first text of each pair.", _is_one_of(None, "")),
    Argument("prompt_name", SENTENCES, "put the prompt before the first text of each pair.", _is_one_of(None)),
    Argument("activation_fn", SENTENCES, "as function_to_apply=.", _is_one_of(None), _activation),
    Argument(
        "apply_softmax",
        SENTENCES,
        'as function_to_apply="softmax".',
        is_unset,
        lambda v: {"function_to_apply": "softmax"},
    ),
)
