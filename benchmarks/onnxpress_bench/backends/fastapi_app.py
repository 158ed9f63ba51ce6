"""A service of embeddings as it is usually written: sentence-transformers in a function of FastAPI."""

from __future__ import annotations

import os

from fastapi import FastAPI  # type: ignore[import-not-found, unused-ignore]
from pydantic import BaseModel  # type: ignore[import-not-found, unused-ignore]
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found, unused-ignore]

app = FastAPI()
model = SentenceTransformer(os.environ["MODEL"], device="cpu")


class Texts(BaseModel):  # type: ignore[misc, unused-ignore]
    """What OpenAI's clients send."""

    input: str | list[str]


@app.get("/health")  # type: ignore[untyped-decorator, unused-ignore]
async def health() -> dict[str, str]:
    """Whether it answers."""
    return {"status": "ok"}


@app.post("/v1/embeddings")  # type: ignore[untyped-decorator, unused-ignore]
async def embed(texts: Texts) -> dict[str, object]:
    """One request after the other, each with all cores: threads beside each other would take them from each other."""
    vectors = model.encode([texts.input] if isinstance(texts.input, str) else texts.input)
    return {"data": [{"index": place, "embedding": vector.tolist()} for place, vector in enumerate(vectors)]}
