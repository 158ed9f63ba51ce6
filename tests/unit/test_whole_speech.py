from typing import Any

import pytest

from onnxpress import InputError
from onnxpress.pipelines.automatic_speech_recognition import SpeechOptions
from onnxpress.pipelines.whole_speech import refuse_what_is_lacking


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_timestamps": True}, "return_timestamps is True.*no times"),
        ({"return_timestamps": "word"}, "return_timestamps is 'word'.*no times"),
        ({"generate_kwargs": {"return_timestamps": True}}, "return_timestamps is True.*no times"),
        ({"return_language": True}, "return_language is True.*language"),
        ({"prompt": "names"}, "prompt is 'names'"),
        ({"chunk_length_s": 30}, "chunk_length_s is 30.*twice.*parts"),
        ({"stride_length_s": 5}, "stride_length_s is 5"),
    ],
)
def test_what_a_model_of_whole_sounds_lacks_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        refuse_what_is_lacking(SpeechOptions(**options))


def test_options_that_ask_for_nothing_are_taken() -> None:
    refuse_what_is_lacking(SpeechOptions(return_timestamps=False, chunk_length_s=0, generate_kwargs={"num_beams": 2}))
