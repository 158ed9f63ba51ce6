"""Where a server listens and reports, and what becomes of it when files and disks fail: TLS, Unix sockets, traces."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import logging
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from onnxpress.serve import registry  # noqa: E402
from onnxpress.serve.logs import JsonLines  # noqa: E402
from onnxpress.serve.settings import ModelSettings  # noqa: E402
from onnxpress_bench.served import served  # noqa: E402
from tests.fixtures.artifacts import write_artifact  # noqa: E402
from tests.fixtures.serving import RunningServer  # noqa: E402

BODY = {"inputs": "good film"}
SILENT = 10_000


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("served") / "m", external=True)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, or 20 seconds."""
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


def test_with_a_certificate_it_speaks_https_alone(artifact: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *names, "-out", str(cert), "-keyout", str(key)], check=True, capture_output=True)
    with RunningServer({"m": artifact}, tls_cert=str(cert), tls_key=str(key)) as running:
        trusting = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", running.port, context=trusting, timeout=30)
        connection.request("POST", "/models/m", json.dumps(BODY), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read())
        connection.close()
        with pytest.raises((OSError, http.client.HTTPException)):
            running.get("/health")


def test_a_unix_socket_takes_the_place_of_a_port(artifact: Path, tmp_path: Path) -> None:
    path, body = str(tmp_path / "s"), json.dumps(BODY).encode()
    for _ in range(2):  # the file of a server that ended is in nobody's way
        with RunningServer({"m": artifact}, uds=path), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.settimeout(30)
            connection.sendall(
                b"POST /models/m HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            answered = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answered.startswith(b"HTTP/1.1 200")


def test_a_model_that_nobody_asks_is_closed_and_opened_again(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WATCH_S", 0.02)
    idle = ModelSettings(str(artifact), threads=1, unload_after_s=3600.0)
    with RunningServer({"m": idle}) as running:
        model = running.wait().app.service.registry.models["m"]
        first = model.version
        model.asked = replace(model.asked, unload_after_s=0.05)  # from here on, or it might be closed already
        until(lambda: model.state.value == "closed")
        assert first is not None
        until(lambda: first.main.session.closed)
        assert running.post("/models/m", BODY).status == 200


def test_a_model_whose_files_are_removed_answers_on_until_it_is_closed(artifact: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(artifact, tmp_path / "removed"))
    with RunningServer({"m": folder, "other": artifact}) as running:
        before = running.wait().post("/models/m", BODY)
        shutil.rmtree(folder)
        assert running.post("/models/m", BODY).body == before.body
        models = running.app.service.registry
        running.app.service._watching.get_loop().call_soon_threadsafe(models.unload, models.models["m"])
        until(lambda: models.models["m"].version is None)
        gone = running.post("/models/m", BODY)
        assert gone.status == 503 and str(tmp_path) not in gone.body.decode()
        assert running.post("/models/other", BODY).status == 200
        assert running.get("/health").status == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is the full disk")
def test_a_full_disk_under_the_log_costs_no_answer(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger, full = logging.getLogger("onnxpress"), Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115
    handler = logging.StreamHandler(full)
    handler.setFormatter(JsonLines())
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    try:
        with RunningServer({"m": artifact}) as running:
            assert [running.wait().post("/models/m", BODY).status for _ in range(3)] == [200] * 3
            assert running.counted("onnxpress_requests_total") >= 3
        with pytest.raises(OSError, match="No space"):
            full.write("a line\n")
    finally:
        with contextlib.suppress(OSError):
            full.close()


class Collector:
    """Takes what OpenTelemetry's exporter posts."""

    def __init__(self) -> None:
        posted = self.posted = list[bytes]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_traces_go_where_the_environment_says(
    artifact: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server.server_port}")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with RunningServer({"m": artifact}) as running:
        reply = running.wait().post("/models/m", BODY, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        assert reply.status == 200
        assert running.post("/models/m", {**BODY, "parameters": {"topk": 1}}).status == 422
    spans = [
        span
        for content in collector.posted
        for resource in sent.ExportTraceServiceRequest.FromString(content).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    [asked, failed] = [span for span in spans if span.name == "POST /models/{model}"]
    assert asked.trace_id.hex() == trace and asked.parent_span_id.hex() == "00f067aa0ba902b7"
    noted = {entry.key: entry.value for entry in asked.attributes}
    assert noted["onnxpress.model"].string_value == "m" and noted["onnxpress.tokens"].int_value > 2
    assert noted["onnxpress.compute_s"].double_value > 0
    assert failed.status.code == 2, "an error"


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="limits of open files")
def test_ten_thousand_connections_say_nothing(artifact: Path, tmp_path: Path) -> None:
    """Others are answered meanwhile, by a process of its own; then each is closed."""
    import resource

    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < SILENT + 500:
        pytest.skip(f"only {most} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of the server, too
    config = tmp_path / "serve.toml"
    config.write_text(
        f'header_timeout_s = 30\nlog_level = "error"\n[models.m]\nartifact = {json.dumps(str(artifact))}\n'
    )
    try:
        with served(
            lambda port: ["-m", "onnxpress", "serve", "--config", str(config), "--port", str(port)], "/ready"
        ) as server:
            port, before = int(server.url.rpartition(":")[2]), server.memory_bytes()
            with contextlib.ExitStack() as open_now:
                silent = [
                    open_now.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                    for _ in range(SILENT)
                ]
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                open_now.callback(connection.close)

                def status() -> int:
                    connection.request("POST", "/models/m", json.dumps(BODY), {"content-type": "application/json"})
                    reply = connection.getresponse()
                    reply.read()
                    return reply.status

                until(lambda: status() == 200)  # those that come at once are accepted first
                assert [status() for _ in range(20)] == [200] * 20
                assert server.memory_bytes() - before < SILENT * 20_000, "more than 20 kB for each of them"
                for quiet in silent:
                    with contextlib.suppress(ConnectionResetError):
                        assert quiet.recv(1) == b""
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
