"""Speak the sentences that models of speech are calibrated on and judged by: `python models/spoken_sentences.py`.

Each set of `judging/spoken/sentences.toml` becomes one Opus file of the exporter, spoken by `espeak-ng`'s command in
the voices and at the speeds that the file names, with a pause before each sentence; the file then tells where each
sentence is. What a program says is its user's: the licence of espeak-ng (GPL) is that of the program alone.
"""

from __future__ import annotations

import io
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

_FOLDER = Path(__file__).resolve().parents[1] / "exporter" / "onnxpress_exporter" / "judging" / "spoken"

_RATE = 16_000

#: Seconds of silence before each sentence.
_PAUSE_S = 0.25

#: Of libsndfile's scale from the largest files to the smallest.
_COMPRESSION = 0.955

_HEAD = """# What models of speech are calibrated on and judged by. `seconds`, where a sentence begins and ends
# in the set's Opus file, is written by models/spoken_sentences.py, which speaks them with espeak-ng.
# inaugural-address.ogg is from John F. Kennedy's inaugural address of 1961, which is in the public
# domain; it is judged by as well.
"""


def spoken(voice: str, speed: int, text: str) -> NDArray[np.float32]:
    """float32 (samples,) at 16 kHz."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text]
    wave = subprocess.run(command, capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    resampled: NDArray[np.float32] = soxr.resample(samples, rate, _RATE).astype(np.float32)
    return 0.5 * resampled / np.abs(resampled).max()


def main() -> None:
    """Write the files."""
    table = _FOLDER / "sentences.toml"
    lines = [_HEAD]
    for name, sentences in tomllib.loads(table.read_text(encoding="utf-8")).items():
        parts, place = [], 0
        for sentence in sentences:
            sound = spoken(sentence["voice"], sentence["speed"], sentence["text"])
            padded = np.pad(sound, (round(_PAUSE_S * _RATE), 0))
            begins, place = place, place + len(padded)
            parts.append(padded)
            lines.append(
                f'[[{name}]]\nvoice = "{sentence["voice"]}"\nspeed = {sentence["speed"]}\ntext = "{sentence["text"]}"\n'
                f"seconds = [{begins / _RATE:.3f}, {place / _RATE:.3f}]\n"
            )
        file = _FOLDER / f"{name}.ogg"
        wave = np.concatenate(parts)
        soundfile.write(file, wave, _RATE, format="OGG", subtype="OPUS", compression_level=_COMPRESSION)
        print(f"{file.name}: {place / _RATE:.1f} s, {file.stat().st_size} bytes")
    table.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
