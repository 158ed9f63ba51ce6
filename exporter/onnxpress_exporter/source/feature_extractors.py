"""Reads a checkpoint's feature extractor as a program of the manifest: the values that its class resolves, not those
that its file happens to hold. What was read is compared with the class itself on sounds of several kinds and lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from onnxpress.audio.transform import SoundTransform
from onnxpress.errors import InputError
from onnxpress.format.sounds import (
    CopyFrames,
    EmphasizeSamples,
    FitFrames,
    FitSamples,
    LimitRange,
    MelBank,
    ScaleSamples,
    ShiftScale,
    SoundSettings,
    SoundStep,
    Spectrum,
    StackFrames,
    StandardizeBands,
    StandardizeSamples,
    Window,
)
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.judging.sounds import voice

#: Largest difference of a number of features, which are about 1 in size.
_ERROR = 1e-4

#: Lengths of the sounds that what was read is tried on, in seconds.
_SECONDS = (0.3, 1.0, 2.7183, 11.1)

#: Of a band that is standardized, rounding is divided by the band's deviation.
_OF_STANDARDIZED = 1e-3

#: The least power in kaldi's spectra: the spacing of float32 at 1.
_KALDI_FLOOR = 1.192092955078125e-07

#: Classes that take pieces of longer sounds at random.
_AT_RANDOM = ("ClapFeatureExtractor",)

Extractor = Any


def read_feature_extractor(extractor: Extractor) -> SoundSettings:
    """The program of a feature extractor, compared with it.

    Raises:
        UnsupportedCheckpoint: its class does what no step of the manifest does.
        VerificationFailed: the program's numbers are not the extractor's.
    """
    name = type(extractor).__name__
    reader = READERS.get(name)
    if reader is None:
        raise UnsupportedCheckpoint(f"{name} is not read by this version. No artifact was written.")
    if getattr(extractor, "dither", 0.0):
        raise UnsupportedCheckpoint(
            f"{name}: dither is {extractor.dither}, which adds noise at random: set it to 0 in the checkpoint's "
            "preprocessor_config.json."
        )
    settings = reader(extractor)
    _compare(extractor, settings, name)
    return settings


def _inputs(extractor: Extractor, *, mask: bool) -> tuple[str, ...]:
    names = tuple(extractor.model_input_names)
    return names[:2] if mask else names[:1]


def _read_whisper(extractor: Extractor) -> SoundSettings:
    """As `WhisperFeatureExtractor._torch_extract_fbank_features`, which is in float32."""
    rate = extractor.sampling_rate
    steps: list[SoundStep] = [
        FitSamples(extractor.n_samples),
        Spectrum(
            frame=extractor.n_fft,
            hop=extractor.hop_length,
            fft=extractor.n_fft,
            window="hann",
            mels=MelBank(extractor.feature_size, 0.0, 8000.0, "slaney", equal_area=True),
            edges="mirrored",
            periodic=True,
            drop_last=True,
            base="10",
            floor=1e-10,
            single=True,
        ),
        LimitRange(8.0),
        ShiftScale(4.0, 4.0),
    ]
    mask = bool(extractor.return_attention_mask)
    return SoundSettings(_inputs(extractor, mask=mask), rate, tuple(steps), bands_first=True)


def _read_wav2vec2(extractor: Extractor) -> SoundSettings:
    steps = (StandardizeSamples(1e-7),) if extractor.do_normalize else ()
    names = _inputs(extractor, mask=bool(extractor.return_attention_mask))
    return SoundSettings(names, extractor.sampling_rate, steps)


def _kaldi(extractor: Extractor, window: Window) -> Spectrum:
    """Frames of 25 ms at 16 kHz, as kaldi's `fbank` makes them."""
    return Spectrum(
        frame=400,
        hop=160,
        fft=512,
        window=window,
        mels=MelBank(extractor.num_mel_bins, 20.0, float(extractor.sampling_rate // 2), "kaldi", in_mels=True),
        remove_mean=True,
        preemphasis=0.97,
        floor=_KALDI_FLOOR,
    )


def _read_ast(extractor: Extractor) -> SoundSettings:
    steps: list[SoundStep] = [_kaldi(extractor, "hann"), FitFrames(extractor.max_length)]
    if extractor.do_normalize:
        steps.append(ShiftScale(-extractor.mean, 2 * extractor.std))
    return SoundSettings(_inputs(extractor, mask=False), extractor.sampling_rate, tuple(steps), least=400)


def _read_seamless(extractor: Extractor) -> SoundSettings:
    steps = (
        ScaleSamples(float(2**15)),
        _kaldi(extractor, "povey"),
        StandardizeBands(freedom=1, epsilon=1e-7),
        StackFrames(extractor.stride),
    )
    return SoundSettings(_inputs(extractor, mask=True), extractor.sampling_rate, steps)


def _read_speech_to_text(extractor: Extractor) -> SoundSettings:
    steps: list[SoundStep] = [ScaleSamples(float(2**15)), _kaldi(extractor, "povey")]
    if extractor.do_ceptral_normalize:
        steps.append(StandardizeBands(mean=bool(extractor.normalize_means), deviation=bool(extractor.normalize_vars)))
    return SoundSettings(_inputs(extractor, mask=True), extractor.sampling_rate, tuple(steps))


def _read_parakeet(extractor: Extractor) -> SoundSettings:
    rate = extractor.sampling_rate
    steps: list[SoundStep] = [EmphasizeSamples(extractor.preemphasis)] if extractor.preemphasis is not None else []
    steps += [
        Spectrum(
            frame=extractor.win_length,
            hop=extractor.hop_length,
            fft=extractor.n_fft,
            window="hann",
            mels=MelBank(extractor.feature_size, 0.0, rate / 2, "slaney", equal_area=True),
            edges="zeros",
            addend=2**-24,
            single=True,
        ),
        StandardizeBands(freedom=1, addend=1e-5, spare=1),
    ]
    return SoundSettings(_inputs(extractor, mask=True), rate, tuple(steps))


def _read_clap(extractor: Extractor) -> SoundSettings:
    """Of longer sounds transformers takes pieces at random; here it is the beginning."""
    fused = extractor.truncation == "fusion"
    if extractor.padding not in ("repeatpad", "pad") or extractor.truncation not in ("fusion", "rand_trunc"):
        raise UnsupportedCheckpoint(
            f"ClapFeatureExtractor: padding={extractor.padding!r} with truncation={extractor.truncation!r} is not read "
            "by this version. No artifact was written."
        )
    lowest, highest = float(extractor.frequency_min), float(extractor.frequency_max)
    bank = MelBank(extractor.feature_size, lowest, highest, "htk" if fused else "slaney", equal_area=not fused)
    steps = (
        FitSamples(extractor.nb_max_samples, repeated=extractor.padding == "repeatpad"),
        Spectrum(
            frame=extractor.fft_window_size,
            hop=extractor.hop_length,
            fft=extractor.fft_window_size,
            window="hann",
            mels=bank,
            edges="mirrored",
            periodic=True,
            base="10",
            factor=10.0,
            floor=1e-10,
        ),
        CopyFrames(4 if fused else 1),
    )
    return SoundSettings(_inputs(extractor, mask=False), extractor.sampling_rate, steps)


#: By class. Moonshine, HuBERT, WavLM and others have Wav2Vec2's, and SpeechT5's does the same with what it hears;
#: Wav2Vec2-BERT has SeamlessM4T's.
READERS: Mapping[str, Callable[[Extractor], SoundSettings]] = {
    "ASTFeatureExtractor": _read_ast,
    "ClapFeatureExtractor": _read_clap,
    "ParakeetFeatureExtractor": _read_parakeet,
    "SeamlessM4TFeatureExtractor": _read_seamless,
    "Speech2TextFeatureExtractor": _read_speech_to_text,
    "SpeechT5FeatureExtractor": _read_wav2vec2,
    "Wav2Vec2FeatureExtractor": _read_wav2vec2,
    "WhisperFeatureExtractor": _read_whisper,
}


def _compare(extractor: Extractor, settings: SoundSettings, name: str) -> None:
    """Raise VerificationFailed unless the program gives the extractor's own numbers."""
    transform, features = SoundTransform(settings), settings.input_names[0]
    standardized = any(isinstance(step, StandardizeBands) for step in settings.steps)
    limit = _OF_STANDARDIZED if standardized else _ERROR
    longest = min((step.samples for step in settings.steps if isinstance(step, FitSamples)), default=None)
    for seed, seconds in enumerate(_SECONDS):
        sound = voice(settings.rate, seconds, seed)
        if name in _AT_RANDOM and longest is not None and len(sound) > longest:
            continue
        try:
            heard = transform(sound)
        except InputError:
            continue  # too short for it
        answer = extractor(sound, sampling_rate=settings.rate, return_tensors="np", return_attention_mask=True)
        expected = np.asarray(answer[features][0], np.float32)
        same_shape = expected.shape == heard.values.shape
        error = np.abs(expected - heard.values).max() if same_shape else np.inf
        if len(settings.input_names) > 1:
            error = error if int(np.sum(answer[settings.input_names[1]][0])) == heard.count else np.inf
        if not error <= limit:
            raise VerificationFailed(
                f"{name} was read wrong: of a sound of {len(sound)} samples it makes {expected.shape} numbers, and "
                f"onnxpress {heard.values.shape}, {error:.2g} apart. No artifact was written. Please report this "
                "checkpoint."
            )
