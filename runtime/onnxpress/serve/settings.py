"""What a server is told: by its command line, over what a TOML file says."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from onnxpress.errors import InputError
from onnxpress.serve.waiting import QueueLimits
from onnxpress.suggestions import did_you_mean

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class WritingLimits:
    """Texts that a model writes at the same time, the bytes of their keys and values, and whether each client finds
    what it has read itself alone; whether texts are the same to the last bit whoever else is answered."""

    streams: int = 16
    cache_bytes: int = 2**30
    apart: bool = False
    deterministic: bool = False


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model.

    Args:
        artifact: its folder, or its id on the Hub.
        task: None: the one it was exported for, and those that run on its graphs.
        lazy: opened by the first request for it, not when the server starts.
        unload_after_s: closed when nobody has asked for so long; None: never.
        options: what every call has unless the request says otherwise, as of `onnxpress.pipeline`.
    """

    artifact: str
    task: str | None = None
    precision: str | None = None
    device: str | None = None
    revision: str | None = None
    threads: int | None = None
    lock: str | None = None
    lazy: bool = False
    unload_after_s: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server.

    Args:
        host, port, uds: where it listens; `uds`: a Unix socket in place of both.
        api_keys: name -> key. Who has a key counts as one client, by the key's name. None: nobody needs one.
        no_auth: whether others than this machine may ask without a key.
        tls_cert, tls_key: files of a certificate; with them it speaks HTTPS.
        memory_bytes: what all models may take together; None: no ceiling.
        budget_ms, waiting_s, bulk_s, most_rows: as of `QueueLimits`.
        request_timeout_s: after which an answer is given up, unless the request says sooner.
        writing_timeout_s: the same of texts that are written.
        streams: texts that are written at the same time; others wait.
        cache_bytes: of the keys and values of all texts of a model that are being written.
        deterministic: whether a text is the same to the last bit however many are written beside it.
        header_timeout_s: for a request to arrive; body and all.
        drain_s: how long requests may take to end after SIGTERM. `drain_delay_s`: how long new ones are still
            accepted after it, while /ready says no.
        body_bytes: of one request; `sound_bytes`: of one that carries a sound to be transcribed.
        sound_s: seconds of such a sound.
        allow_urls: whether addresses of pictures and sounds in a request are fetched, of the public internet alone.
        any_dimensions: whether `dimensions` may cut vectors of models that were not trained for it.
        framed_by: origins of pages that may show the page in a frame, such as "https://huggingface.co"; "": none.
        reload: whether a changed artifact is opened anew while the server runs.
        log_level: of the JSON lines on standard error.
    """

    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    api_keys: Mapping[str, str] = field(default_factory=dict)
    no_auth: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    memory_bytes: int | None = None
    budget_ms: float = 30.0
    waiting_s: float = 2.0
    bulk_s: float = 60.0
    most_rows: int = 2048
    request_timeout_s: float = 60.0
    writing_timeout_s: float = 600.0
    streams: int = 16
    cache_bytes: int = 2**30
    deterministic: bool = False
    header_timeout_s: float = 30.0
    drain_s: float = 30.0
    drain_delay_s: float = 0.0
    body_bytes: int = 16 * 2**20
    sound_bytes: int = 25 * 2**20
    sound_s: float = 3600.0
    allow_urls: bool = False
    any_dimensions: bool = False
    framed_by: str = ""
    reload: bool = True
    log_level: str = "info"

    def check(self) -> None:
        """Refuse what cannot be, and what nobody wants who does not say so.

        Raises:
            InputError: which, and what to say instead.
        """
        if not self.models:
            raise InputError("Name an artifact to serve: its folder, or its id on the Hub.")
        if not self.on_loopback and not self.api_keys and not self.no_auth:
            raise InputError(
                f"--host {self.host} is open to other machines, and there is no API key: pass --api-key NAME=KEY (or "
                "@FILE), or say --no-auth."
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError("--tls-cert and --tls-key belong together: pass both.")
        if not re.fullmatch(r"(https?://[\w.:*-]+( |$))*", self.framed_by):
            raise InputError(
                f"framed_by is {self.framed_by!r:.60}; it must be origins, such as https://huggingface.co."
            )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can ask."""
        return self.uds is not None or self.host in _LOOPBACK

    @property
    def writing(self) -> WritingLimits:
        """Of each model that writes."""
        return WritingLimits(self.streams, self.cache_bytes, bool(self.api_keys), self.deterministic)

    @property
    def queue(self) -> QueueLimits:
        """Of each model."""
        return QueueLimits(self.budget_ms / 1e3, self.waiting_s, self.bulk_s, self.most_rows)


def read_settings(path: Path) -> ServerSettings:
    """Read a TOML file; its fields are those above, its tables [models.NAME] and [api_keys].

    Raises:
        InputError: it cannot be read, or a field is none or of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from None
    models = content.pop("models", {})
    if not isinstance(models, dict) or not all(isinstance(model, dict) for model in models.values()):
        raise InputError(f"{path}: models must be tables: [models.NAME].")
    parsed = {
        check_name(name): _checked(ModelSettings, model, f"{path}: models.{name}") for name, model in models.items()
    }
    if isinstance(content.get("memory"), (str, int)):
        content["memory_bytes"] = parse_bytes(str(content.pop("memory")))
    if "api_keys" in content:
        content["api_keys"] = parse_keys([f"{name}={key}" for name, key in dict(content["api_keys"]).items()])
    settings: ServerSettings = replace(_checked(ServerSettings, content, str(path)), models=parsed)
    return settings


def parse_models(arguments: Sequence[str], taken: Mapping[str, ModelSettings]) -> dict[str, ModelSettings]:
    """ARTIFACT or NAME=ARTIFACT -> models by name; a folder's name is its model's, unless it is taken.

    Raises:
        InputError: two have one name.
    """
    models = dict(taken)
    for argument in arguments:
        name, equals, artifact = argument.partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name):
            name, artifact = _name_of(argument), argument
        if check_name(name) in models:
            raise InputError(f"Two models are called {name!r}: name one otherwise, OTHER_NAME={artifact}.")
        models[name] = ModelSettings(artifact)
    return models


def check_name(name: str) -> str:
    """Raises:
    InputError: a name that an address cannot have.
    """
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or set(name) <= {".", "/"}:
        raise InputError(f"{name!r} cannot be a model's name: letters, digits, '.', '-' and '_', and one '/' at most.")
    return name


def parse_keys(arguments: Sequence[str]) -> dict[str, str]:
    """KEY, NAME=KEY or @FILE of such lines -> keys by name. A key that begins with $ is that variable's.

    Raises:
        InputError: a file or a variable cannot be read, a key is too short, or two have one name.
    """
    keys: dict[str, str] = {}
    for argument in arguments:
        if argument.startswith("@"):
            try:
                lines = Path(argument[1:]).read_text(encoding="utf-8").split()
            except OSError as error:
                raise InputError(f"--api-key {argument}: cannot be read ({error.strerror}).") from None
            more = parse_keys(lines)
        else:
            name, equals, key = argument.partition("=")
            name, key = (name, key) if equals else (f"key-{len(keys) + 1}", argument)
            if key.startswith("$"):
                key = os.environ.get(key[1:], "")
            if len(key) < 8:
                raise InputError(f"The API key {name!r} is shorter than 8 characters, or its variable is not set.")
            more = {name: key}
        for name, key in more.items():
            if name in keys:
                raise InputError(f"Two API keys are called {name!r}: name one otherwise.")
            keys[name] = key
    return keys


def parse_bytes(text: str) -> int:
    """A size such as 4GB, 512M or 1000000.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"{text!r} is no size; it must be a number, or one with a unit: 512MB, 4GB.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _name_of(artifact: str) -> str:
    path = Path(artifact).expanduser()
    is_folder = path.exists() or artifact.startswith(("/", ".", "~"))  # if it is not there, that is told at opening
    return path.resolve().name if is_folder else artifact


def _checked(kind: Any, content: Mapping[str, Any], where: str) -> Any:
    """A dataclass of settings from what a file says."""
    known = {entry.name: str(entry.type) for entry in fields(kind)}
    for name, value in content.items():
        if name not in known:
            raise InputError(f"{where}: there is no setting {name!r}.{did_you_mean(name, known)}")
        wanted = known[name].split(" | ")[0]
        kinds = {"str": str, "int": int, "float": (int, float), "bool": bool}.get(wanted, dict)
        if not isinstance(value, kinds) or (isinstance(value, bool) and wanted != "bool"):  # type: ignore[arg-type]
            raise InputError(f"{where}: {name} is {value!r:.60}; it must be of the kind {wanted}.")
    if kind is ModelSettings and "artifact" not in content:
        raise InputError(f"{where}: artifact is missing: the folder, or the id on the Hub.")
    return kind(**content)
