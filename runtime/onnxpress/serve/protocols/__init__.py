"""What clients speak: a file for each protocol, which ends in its routes. Another one is a file and a name below."""

from __future__ import annotations

from onnxpress.serve.protocols import (
    chat,
    completions,
    hugging_face,
    open_inference,
    openai,
    process,
    rerank,
    tei,
    tgi,
    transcriptions,
)
from onnxpress.serve.routes import Route

ROUTES: tuple[Route, ...] = (
    *process.ROUTES,
    *openai.ROUTES,
    *chat.ROUTES,
    *completions.ROUTES,
    *transcriptions.ROUTES,
    *tgi.ROUTES,
    *rerank.ROUTES,
    *tei.ROUTES,
    *open_inference.ROUTES,
    *hugging_face.ROUTES,  # last: its addresses fit many
)
