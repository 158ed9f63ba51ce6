"""A server started, asked as its users would ask it, and stopped."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from onnxpress.errors import EngineError, MissingDependency

QUESTION = "What is the capital of Italy?"
#: Seconds until every model must be there.
_PATIENCE_S = 60.0


def ask(embedder: Path, writer: Path, classifier: Path) -> None:
    """Serve three artifacts in a process without PyTorch, and ask each through a client that knows nothing of us."""
    if find_spec("openai") is None:
        raise MissingDependency("The demo asks the server through the package openai: `pip install 'onnxpress[dev]'`.")
    from openai import OpenAI

    with (
        _served(embedder, writer, classifier) as (address, ready_s),
        OpenAI(base_url=f"{address}/v1", api_key="none") as client,
    ):
        click.echo(f"  {address} answered {ready_s:.2f} s after its start")
        click.echo(f"  models: {', '.join(model.id for model in client.models.list())}")
        vectors = client.embeddings.create(model=embedder.name, input=["a first text", "a second one"])
        click.echo(f"  embeddings: {len(vectors.data)} of {len(vectors.data[0].embedding)} numbers")
        start = time.perf_counter()
        stream = client.chat.completions.create(
            model=writer.name, messages=[{"role": "user", "content": QUESTION}], stream=True, temperature=0
        )
        pieces = [piece.choices[0].delta.content or "" for piece in stream if piece.choices]
        milliseconds = 1000 * (time.perf_counter() - start)
        click.echo(f"  > {QUESTION}\n  {''.join(pieces)}   ({len(pieces)} events in {milliseconds:.0f} ms)")
        picture = next((classifier.parent / f"{classifier.name}-pictures").glob("*.png"))
        body = json.dumps({"inputs": base64.b64encode(picture.read_bytes()).decode()}).encode()
        best = json.loads(_get(f"{address}/models/{classifier.name}", body))[0]
        click.echo(f"  > {picture.name}\n  {best['label']} {best['score']:.3f}")
        counts = [line for line in _get(f"{address}/metrics").decode().splitlines() if "requests_total{" in line]
        click.echo("  metrics: " + "\n           ".join(counts))


@contextmanager
def _served(*artifacts: Path) -> Iterator[tuple[str, float]]:
    """The address of a server of these artifacts, and seconds until it was ready; stopped by a signal at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, start = f"http://127.0.0.1:{port}", time.perf_counter()
    command = [sys.executable, "-m", "onnxpress", "serve", *map(str, artifacts), "--port", str(port)]
    with subprocess.Popen([*command, "--log-level", "error"]) as process:
        try:
            while not _ready(address):
                if process.poll() is not None or time.perf_counter() - start > _PATIENCE_S:
                    raise EngineError("The server did not start; what it says stands above.")
                time.sleep(0.02)
            yield address, time.perf_counter() - start
        finally:
            process.send_signal(signal.SIGTERM)
    click.echo(f"  stopped by SIGTERM, exit code {process.returncode}")


def _ready(address: str) -> bool:
    try:
        return bool(_get(f"{address}/ready"))
    except (urllib.error.URLError, ConnectionError):
        return False


def _get(address: str, body: bytes | None = None) -> bytes:
    headers = {"content-type": "application/json"} if body else {}
    request = urllib.request.Request(address, body, headers)  # noqa: S310  # an address of this machine
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content
