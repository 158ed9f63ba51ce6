"""OPT: norms before the branches or, in the 350m, of their sums; its table may be narrower than its layers."""

from __future__ import annotations

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Architecture, Branch, Embedding, Layer
from onnxpress_exporter.graphs.build.parts import attention, decoder, layer_of, plain
from onnxpress_exporter.graphs.build.source import Source

#: The first rows of the positions' table are not used.
_OFFSET = 2
#: PyTorch's default: the config has none.
_EPSILON = 1e-5


def read(source: Source) -> Architecture:
    """OPT."""
    config = source.config
    if not config.layer_norm_elementwise_affine:
        raise NotBuildable("layer_norm_elementwise_affine is False")

    def layer(name: str, number: int) -> Layer:
        first = source.norm(f"{name}.self_attn_layer_norm", "layer", _EPSILON)
        second = source.norm(f"{name}.final_layer_norm", "layer", _EPSILON)
        attends = attention(source, f"{name}.self_attn", None, output="out_proj")
        feeds = plain(source, f"{name}.fc1", f"{name}.fc2", "activation_function")
        if config.do_layer_norm_before:
            return layer_of(attends, feeds, first, second)
        return Layer([Branch(attends, joined=first), Branch(feeds, joined=second)])

    decoder_name, narrow = "model.decoder", config.word_embed_proj_dim != config.hidden_size
    last = f"{decoder_name}.final_layer_norm"
    embedding = Embedding(
        source.tensor(f"{decoder_name}.embed_tokens.weight"),
        projection=source.linear(f"{decoder_name}.project_in") if narrow else None,
        positions=source.tensor(f"{decoder_name}.embed_positions.weight")[_OFFSET:],
    )
    norm = source.norm(last, "layer", _EPSILON) if source.has(f"{last}.weight") else None
    head = source.head(embedding.table, projection=source.linear(f"{decoder_name}.project_out") if narrow else None)
    return decoder(source, embedding, f"{decoder_name}.layers", layer, norm, head=head)
