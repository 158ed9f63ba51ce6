"""SpeechT5 as three graphs: one reads tokens, one says the next frames, one makes samples of them. Imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SpeechT5Reader(nn.Module):
    """`input_ids` int64 (1, sequence) -> `read` float32 (1, layers, 2, heads, sequence, size): the keys and values of
    the text, of which every frame makes the same use."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.checkpoint, self.config = model, model.config

    def forward(self, input_ids: Any) -> dict[str, torch.Tensor]:
        body = self.checkpoint.speecht5
        states = body.encoder(input_values=input_ids, attention_mask=None, return_dict=True).last_hidden_state
        layers = [layer.encoder_attn for layer in body.decoder.wrapped_decoder.layers]
        read = [
            torch.stack([_heads(layer, layer.k_proj(states)), _heads(layer, layer.v_proj(states))], 1)
            for layer in layers
        ]
        return {"read": torch.stack(read, 1)}


def _heads(layer: Any, states: Any) -> Any:
    return states.view(states.shape[0], -1, layer.num_heads, layer.head_dim).transpose(1, 2)


def _attended(layer: Any, states: Any, known: Any) -> Any:
    """Attention of states (1, 1, width) to keys and values (1, 2, heads, places, size)."""
    queries = _heads(layer, layer.q_proj(states) * layer.scaling)
    weights = torch.softmax(queries @ known[:, 0].transpose(-1, -2), dim=-1)
    return layer.out_proj((weights @ known[:, 1]).transpose(1, 2).flatten(2))


class SpeechT5Stepper(nn.Module):
    """`frame` float32 (1, bands), the last that was said; `place` int64 (1,), how many were before it; `voice` float32
    (1, numbers); `stays` float32 (1, layers, units), what each number of the prenet is multiplied with; `past` float32
    (1, layers, 2, heads, places, size) and `read`, keys and values -> `frames` float32 (1, frames at once, bands),
    `stop` float32 (1, frames at once), the chances that these are the last; and `present`, as `past`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.checkpoint, self.config = model, model.config

    def forward(self, frame: Any, place: Any, voice: Any, stays: Any, past: Any, read: Any) -> dict[str, torch.Tensor]:
        decoder, postnet = self.checkpoint.speecht5.decoder, self.checkpoint.speech_decoder_postnet
        states = self._prenet(decoder.prenet, frame, place, voice, stays)
        present = []
        for number, layer in enumerate(decoder.wrapped_decoder.layers):
            past_of, attention = past[:, number], layer.self_attn
            new = torch.stack(
                [_heads(attention, attention.k_proj(states)), _heads(attention, attention.v_proj(states))], 1
            )
            present.append(torch.cat([past_of, new], dim=-2))
            states = layer.self_attn_layer_norm(states + _attended(attention, states, present[-1]))
            states = layer.encoder_attn_layer_norm(states + _attended(layer.encoder_attn, states, read[:, number]))
            states = layer.final_layer_norm(states + layer.feed_forward(states))
        last = states[:, 0]
        frames = postnet.feat_out(last).view(1, self.config.reduction_factor, self.config.num_mel_bins)
        return {
            "frames": frames,
            "stop": torch.sigmoid(postnet.prob_out(last)),
            "present": torch.stack(present, 1),
        }

    def _prenet(self, prenet: Any, frame: Any, place: Any, voice: Any, stays: Any) -> Any:
        """float32 (1, 1, width), as `SpeechT5SpeechDecoderPrenet.forward` has it at the last place."""
        states = frame[:, None]
        for number, layer in enumerate(prenet.layers):
            states = torch.relu(layer(states)) * stays[:, number, None]
        positions = prenet.encode_positions
        states = prenet.final_layer(states) + positions.alpha * positions.pe[:, place]
        heard = nn.functional.normalize(voice)[:, None]
        return torch.relu(prenet.speaker_embeds_layer(torch.cat([states, heard], dim=-1)))


class SpeechT5Vocoder(nn.Module):
    """`frames` float32 (1, frames, bands) -> `waveform` float32 (1, samples)."""

    def __init__(self, model: Any, vocoder: Any) -> None:
        super().__init__()
        self.checkpoint, self.vocoder = model, vocoder

    def forward(self, frames: Any) -> dict[str, torch.Tensor]:
        return {"waveform": self.vocoder(self.checkpoint.speech_decoder_postnet.postnet(frames))}
