"""Names of other libraries' objects that a pipeline or a tokenizer has not, and what is there in their place.

docs/migration.md is printed from these tables too. A name that is in none of them is told as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType

Names = Mapping[str, str]


def names(rows: Mapping[str, str]) -> Names:
    """One sentence for several names, which are separated by spaces: name -> sentence."""
    return MappingProxyType(dict(chain.from_iterable(((n, note) for n in key.split()) for key, note in rows.items())))


def absent(where: str, name: str, known: Names) -> AttributeError:
    """The error of a name that is not there, with what takes its place, if anything does."""
    if name in known:
        return AttributeError(f"{where} has no {name!r}: {known[name]}", name=name)
    return AttributeError(f"{where} has no {name!r}.", name=name)


_NO_TRAINING = "nothing is trained here; train with its own library, and export the checkpoint."
_UPLOAD = "upload the artifact's folder: `hf upload REPOSITORY FOLDER`."

#: transformers' Pipeline.
OF_PIPELINES = names(
    {
        "predict transform": "call the pipeline itself.",
        "preprocess forward postprocess run_single run_multi iterate get_iterator": "call the pipeline itself; "
        "pipe.tokenizer and pipe.model are its parts.",
        "ensure_tensor_on_device get_inference_context": "arrays of numpy go in and come out.",
        "check_model_type": "the artifact names its tasks: pipe.task, pipe.manifest.",
        "feature_extractor image_processor": "pipe.manifest.processors says how inputs become arrays.",
        "framework": "ONNX Runtime runs the model.",
        "dtype torch_dtype": "pipe.precision names the variant.",
        "modelcard": "README.md of the artifact is its card.",
        "generation_config": "pass settings to the call; the artifact's are in its generation_config.json.",
        "assistant_model assistant_tokenizer": "use prompt_lookup_num_tokens.",
        "push_to_hub": _UPLOAD,
    }
)

#: What SentenceTransformer and CrossEncoder share.
_OF_SENTENCES = {
    "config": "pipe.model.config has it.",
    "tokenize preprocess": "pipe.tokenizer(texts, padding=True, truncation=True) gives the ids.",
    "start_multi_process_pool stop_multi_process_pool": "one process runs on all its cores: start others, as "
    "docs/usage.md says, each with a pipeline.",
    "save": "save_pretrained(FOLDER) copies the artifact.",
    "save_to_hub": _UPLOAD,
    "evaluate": "`onnxpress export --help` tells how labelled rows are measured; or evaluate what the call returns.",
    "fit old_fit gradient_checkpointing_enable smart_batching_collate model_card_data_class merge": _NO_TRAINING,
    "active_adapter active_adapters add_adapter check_peft_compatible_model delete_adapter disable_adapters "
    "enable_adapters get_adapter_state_dict has_peft_compatible_model load_adapter set_adapter": "an adapter is merged "
    "into the weights by the export.",
    "get_backend": "ONNX Runtime runs the model.",
    "transformers_model": "pipe.model gives the arrays of the graph.",
    "get_model_kwargs clear_placement_cache": "there is nothing in its place.",
    "is_singular_input modalities supports": "inputs are texts.",
    "model_type default_huggingface_organization": "pipe.manifest tells what the artifact is and where it is from.",
}

#: SentenceTransformer.
OF_EMBEDDERS = names(
    {
        **_OF_SENTENCES,
        "encode_multi_process": "call encode: one process runs on all its cores.",
        "SUPPORTED_SIMILARITY_FN_NAMES": "pipe.similarity_fn_name is the checkpoint's.",
        "get_sentence_features": "pipe.tokenizer gives the arrays.",
        "load": "onnxpress.pipeline opens an artifact.",
        "set_pooling_include_prompt": "the checkpoint's own pooling is in the artifact.",
        "truncate_embeddings truncate_sentence_embeddings": "pass truncate_dim= to the call, or to onnxpress.pipeline.",
    }
)

#: CrossEncoder.
OF_CROSS_ENCODERS = names(
    {
        **_OF_SENTENCES,
        "default_activation_function get_default_activation_fn": "pass function_to_apply= to the call; the "
        "checkpoint's own is in pipe.manifest.postprocessing.",
        "set_keep_in_fp32_modules": "precision= names the variant.",
        "smart_batching_collate_text_only": _NO_TRAINING,
    }
)

_AS_EXPORTED = "the tokenizer is as it was exported: change the checkpoint's, and export again."

#: transformers' PreTrainedTokenizerFast.
OF_TOKENIZER_OBJECTS = names(
    {
        "add_tokens add_special_tokens train_new_from_iterator set_truncation_and_padding update_post_processor "
        "add_bos_token add_eos_token": _AS_EXPORTED,
        "from_pretrained": "onnxpress.pipeline(...).tokenizer and onnxpress.load(...).tokenizer open it.",
        "backend_tokenizer decoder model convert_added_tokens convert_to_native_format slow_tokenizer_class "
        "can_save_slow_tokenizer register_for_auto_class": "tokenizers.Tokenizer.from_file opens the artifact's "
        "tokenizer.json.",
        "added_tokens_decoder added_tokens_encoder": "get_added_vocab() has the tokens and their ids.",
        "encode_message_with_chat_template get_chat_template save_chat_templates": "apply_chat_template renders "
        "messages, and chat_template is the template.",
        "get_response_parser parse_response": "read the text that was written.",
        "save_vocabulary": "save_pretrained(FOLDER) copies the tokenizer's files.",
        "push_to_hub": _UPLOAD,
        "pretrained_vocab_files_map vocab_files_names": "the artifact's manifest names its files.",
        "SPECIAL_TOKENS_ATTRIBUTES": "special_tokens_map has those that there are.",
        "prepare_for_model prepare_seq2seq_batch batch_encode_plus encode_plus build_inputs_with_special_tokens "
        "create_token_type_ids_from_sequences truncate_sequences as_target_tokenizer": "call the tokenizer itself.",
    }
)
