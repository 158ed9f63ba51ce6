"""`onnxpress serve`: parses, calls. Nothing is computed here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from onnxpress.serve.settings import (
    ModelSettings,
    ServerSettings,
    parse_bytes,
    parse_keys,
    parse_models,
    read_settings,
)


@click.command("serve")
@click.argument("artifacts", nargs=-1, metavar="[NAME=]ARTIFACT_OR_ID...")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="serve.toml.")
@click.option("--host", metavar="NAME", help="Where it listens (default: 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Default: 8000; 0: any that is free.")
@click.option("--uds", metavar="PATH", help="A Unix socket in place of host and port.")
@click.option("--api-key", "api_keys", multiple=True, metavar="[NAME=]KEY", help="A key; $VARIABLE or @FILE of them.")
@click.option("--no-auth", is_flag=True, help="Other machines may ask without a key.")
@click.option("--tls-cert", metavar="FILE", help="Certificate: it speaks HTTPS.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key.")
@click.option("--memory", metavar="SIZE", help="What all models may take together, such as 4GB.")
@click.option("--precision", metavar="NAME", help="Variant of the artifacts named here.")
@click.option("--device", metavar="NAME", help="Device of the artifacts named here.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads (default: usable cores).")
@click.option("--lazy", is_flag=True, help="Open the artifacts named here when they are asked for.")
@click.option(
    "--allow-urls", is_flag=True, help="Fetch addresses of pictures and sounds, of the public internet alone."
)
@click.option(
    "--deterministic", is_flag=True, help="A text is the same to the last bit, whatever is written beside it."
)
@click.option("--any-dimensions", is_flag=True, help="Vectors may be cut whatever the model was trained for.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
def serve(
    artifacts: tuple[str, ...], config: Path | None, api_keys: tuple[str, ...], memory: str | None, **values: Any
) -> None:
    """Serve artifacts over HTTP: OpenAI's, the Hub's, Cohere's, TEI's and KServe's protocols, and a page to try them.

    The port opens at once; /ready says what is still loading.
    """
    from onnxpress.serve.logs import configure
    from onnxpress.serve.running import run

    settings = ServerSettings() if config is None else read_settings(config)
    of_models = {name: values.pop(name) for name in ("precision", "device", "threads", "lazy")}
    models = parse_models(artifacts, settings.models)
    changed = {
        name: _with(model, of_models) if name not in settings.models else model for name, model in models.items()
    }
    said = {name: value for name, value in values.items() if value is not None and value is not False}
    if memory is not None:
        said["memory_bytes"] = parse_bytes(memory)
    keys = {**settings.api_keys, **parse_keys(api_keys)}
    settings = replace(settings, models=changed, api_keys=keys, **said)
    settings.check()
    configure(settings.log_level)
    run(settings)


def _with(model: ModelSettings, changes: dict[str, Any]) -> ModelSettings:
    return replace(model, **{name: value for name, value in changes.items() if value})
