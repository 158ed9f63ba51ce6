"""The files of deploy/: ports, paths, metrics and command lines are those of the code.

    ONNXPRESS_KSERVE_CRDS=/a/kserve/config/crd/full .venv/bin/python -m pytest tests/packaging/test_deploy.py

compares the manifests with KServe's schemas, too, of which the pods' part is Kubernetes' own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

import onnxpress
from onnxpress.serve.settings import ServerSettings, parse_models, read_settings

yaml = pytest.importorskip("yaml")
pytest.importorskip("orjson")

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def _documents(name: str) -> dict[str, Any]:
    """By kind; of each there is one."""
    read = list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))
    by_kind = {document["kind"]: document for document in read}
    assert len(by_kind) == len(read)
    return by_kind


def _instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: name and arguments, continued lines joined, comments left out."""
    lines = "\n".join(line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#"))
    parts = (line.partition(" ") for line in re.sub(r"\\\n\s*", "", lines).splitlines() if line)
    return [(name, rest.strip()) for name, _, rest in parts]


def _entrypoint() -> list[str]:
    (text,) = [rest for name, rest in _instructions() if name == "ENTRYPOINT"]
    words: list[str] = json.loads(text)
    return words


def _settings(arguments: Sequence[str]) -> ServerSettings:
    """What the server of the image starts with, by the command's own parser."""
    from onnxpress.serve.command import serve

    program, command, *given = [*_entrypoint(), *arguments]
    assert (program, command) == ("onnxpress", "serve")
    with click.Context(serve) as context:
        serve.parse_args(context, given)
        values = context.params
    settings = ServerSettings() if values["config"] is None else read_settings(values["config"])
    models = parse_models(values["artifacts"], settings.models)
    said = {name: values[name] for name in ("host", "port", "no_auth") if values[name]}
    settings = replace(settings, models=models, **said)
    settings.check()
    return settings


def _keyless(path: str) -> bool:
    from onnxpress.serve.protocols import ROUTES

    (route,) = [route for route in ROUTES if (route.method, route.path) == ("GET", path)]
    return route.keyless


def _probed(container: dict[str, Any], probe: str) -> tuple[str, int]:
    """Path and port number."""
    asked = container[probe]["httpGet"]
    ports = {port.get("name"): port["containerPort"] for port in container["ports"]}
    return asked["path"], ports.get(asked["port"], asked["port"])


def test_the_image_is_not_roots_and_its_health_is_the_servers() -> None:
    instructions = _instructions()
    last = [name for name, _ in instructions][::-1].index("FROM")
    final = instructions[-last - 1 :]
    arguments = dict(final)
    assert int(arguments["USER"]) > 0 and arguments["FROM"].endswith("-slim")
    assert [name for name, _ in final].index("USER") > [name for name, _ in final].index("RUN")
    port = int(arguments["EXPOSE"])
    assert port == ServerSettings().port
    assert f"http://127.0.0.1:{port}/health'" in arguments["HEALTHCHECK"] and _keyless("/health")
    code = json.loads(arguments["HEALTHCHECK"].partition("CMD ")[2])[2]
    compile(code, "HEALTHCHECK", "exec")
    assert set(arguments["ARG"].partition("=")[2].split(",")) == {"cpu", "serve"}


def test_the_image_copies_what_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for arguments in (rest for name, rest in _instructions() if name == "COPY"):
        for source in arguments.split()[:-1]:
            assert (ROOT / source).exists() and f"!{source}" in ignored, source


def test_the_commands_that_the_dockerfile_shows_start_a_server() -> None:
    shown = re.sub(r" \\\n#\s+", " ", DOCKERFILE)
    (run,) = re.findall(r"^# +(docker run .*)", shown, re.MULTILINE)
    _, _, arguments = run.partition(f"onnxpress:{onnxpress.__version__} ")
    assert list(_settings(shlex.split(arguments)).models) == ["my-embedder"]
    (copied,) = re.findall(r"^# +CMD (.*)", shown, re.MULTILINE)
    assert not _settings(json.loads(copied)).on_loopback
    with pytest.raises(onnxpress.InputError, match="--no-auth"):
        _settings(["/models/my-embedder"])


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*"), key=str), ids=lambda path: path.name)
def test_images_are_of_this_version(path: Path) -> None:
    if path.is_file():
        tags = re.findall(r"\bonnxpress:(\d\S*)", path.read_text(encoding="utf-8"))
        assert set(tags) <= {onnxpress.__version__}


def test_kubernetes_asks_the_server_what_it_answers(tmp_path: Path) -> None:
    objects = _documents("kubernetes/onnxpress.yaml")
    pod = objects["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (mounted,) = [mount for mount in container["volumeMounts"] if mount["name"] == "settings"]
    for name, text in objects["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings = _settings([word.replace(mounted["mountPath"], str(tmp_path)) for word in container["args"]])
    assert _probed(container, "livenessProbe") == ("/health", settings.port)
    assert _probed(container, "readinessProbe") == ("/ready", settings.port)
    annotations = pod["metadata"]["annotations"]
    assert (annotations["prometheus.io/path"], int(annotations["prometheus.io/port"])) == ("/metrics", settings.port)
    # The probe and Prometheus send no key.
    assert settings.no_auth and not _keyless("/ready") and not _keyless("/metrics")
    assert pod["spec"]["terminationGracePeriodSeconds"] > settings.drain_s + settings.drain_delay_s
    places = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert all(str(Path(model.artifact).parent) in places for model in settings.models.values())
    assert settings.memory_bytes is not None
    assert settings.memory_bytes < int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30


def test_kubernetes_names_meet() -> None:
    objects = _documents("kubernetes/onnxpress.yaml")
    deployment, service, scaler = (objects[kind] for kind in ("Deployment", "Service", "HorizontalPodAutoscaler"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    (port,) = deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert objects["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"port": port["name"]}]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["settings"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]


def test_it_scales_on_a_metric_that_the_server_has() -> None:
    pytest.importorskip("prometheus_client")
    from onnxpress.serve.metrics import Metrics

    measured = Metrics()
    measured.queue_seconds.labels("a").set(0.5)
    scaler = _documents("kubernetes/onnxpress.yaml")["HorizontalPodAutoscaler"]
    (metric,) = scaler["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f'{name}{{model="a"}} 0.5' in measured.text().decode()
    (rule,) = yaml.safe_load((DEPLOY / "kubernetes/prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"]
    assert rule["name"]["as"] == name and rule["seriesQuery"].startswith(f"{name}{{")
    wanted = metric["pods"]["target"]["averageValue"]
    assert 0 < int(wanted.removesuffix("m")) / 1000 < ServerSettings().waiting_s


def test_kserve_asks_the_protocol_that_the_server_speaks() -> None:
    runtime = _documents("kserve/servingruntime.yaml")["ServingRuntime"]
    model = _documents("kserve/inferenceservice.yaml")["InferenceService"]["spec"]["predictor"]["model"]
    (container,) = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    settings = _settings([word.replace("{{.Name}}", "my-embedder") for word in container["args"]])
    assert settings.models["my-embedder"].artifact == "/mnt/models"
    for probe, path in (("livenessProbe", "/v2/health/live"), ("readinessProbe", "/v2/health/ready")):
        assert _probed(container, probe) == (path, settings.port)
        assert not _keyless(path)  # no probe sends a key
    annotations = runtime["spec"]["annotations"]
    assert int(annotations["prometheus.kserve.io/port"]) == settings.port
    assert annotations["prometheus.kserve.io/path"] == "/metrics"
    (form,) = runtime["spec"]["supportedModelFormats"]
    assert form["name"] == model["modelFormat"]["name"] and model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]


# With KServe's schemas.


def _schema(kind: str) -> dict[str, Any]:
    folder = os.environ.get("ONNXPRESS_KSERVE_CRDS")
    if folder is None:
        pytest.skip("ONNXPRESS_KSERVE_CRDS names no folder of KServe's schemas")
    text = (Path(folder) / f"serving.kserve.io_{kind.lower()}s.yaml").read_text(encoding="utf-8")
    schema: dict[str, Any] = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object"}
    return _closed(schema)


def _closed(schema: Any) -> Any:
    """The same, with unknown fields refused, which an API server only drops."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    more = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        more.setdefault("additionalProperties", schema.get("x-kubernetes-preserve-unknown-fields", False))
    return more


@pytest.mark.parametrize("kind", ["ServingRuntime", "InferenceService"])
def test_kserves_schema_accepts_the_manifest(kind: str) -> None:
    import jsonschema

    schema = _schema(kind)
    document = _documents(f"kserve/{kind.lower()}.yaml")[kind]
    jsonschema.validate(document, schema)
    document["spec"]["unknown"] = 1
    with pytest.raises(jsonschema.ValidationError, match="unknown"):
        jsonschema.validate(document, schema)


def test_kubernetes_schema_accepts_the_pod() -> None:
    import jsonschema

    schema = _schema("InferenceService")["properties"]["spec"]["properties"]["predictor"]
    jsonschema.validate(_documents("kubernetes/onnxpress.yaml")["Deployment"]["spec"]["template"]["spec"], schema)
