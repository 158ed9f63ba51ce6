"""A server over real sockets: what it answers, refuses and survives."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import Artifact

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from onnxpress.serve import apart, versions  # noqa: E402
from onnxpress.serve.pulse import Pulse  # noqa: E402
from onnxpress.serve.settings import ModelSettings  # noqa: E402
from tests.fixtures.embedder import write_sparse_embedder  # noqa: E402
from tests.fixtures.serving import RunningServer, blocked  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
TEXTS = ["Ada lives in Rome.", "A word.", "The old house by the sea was empty for years, and nobody knew why.", "Rome"]


@pytest.fixture(scope="module")
def artifacts(exported: Callable[..., Artifact]) -> dict[str, Path]:
    return {
        "emb": Path(exported(MODELS / "tiny-embedder", task="sentence-similarity").folder),
        "sent": Path(exported(MODELS / "tiny-sentiment", task="text-classification").folder),
    }


@pytest.fixture(scope="module")
def server(artifacts: dict[str, Path]) -> Iterator[RunningServer]:
    with RunningServer(artifacts) as running:
        yield running.wait()


# Answers.


def test_an_embedding_is_the_pipelines_as_numbers_and_as_base64(
    server: RunningServer, artifacts: dict[str, Path]
) -> None:
    with onnxpress.pipeline(model=artifacts["emb"], threads=1) as pipe:
        expected = pipe(TEXTS[0])
    floats = server.post("/v1/embeddings", {"model": "emb", "input": TEXTS[0]}).json
    packed = server.post("/v1/embeddings", {"model": "emb", "input": [TEXTS[0]], "encoding_format": "base64"}).json
    np.testing.assert_array_equal(np.array(floats["data"][0]["embedding"], np.float32), expected)
    read = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    np.testing.assert_array_equal(read, expected)
    assert floats["usage"] == packed["usage"] and floats["usage"]["prompt_tokens"] > 2


def test_a_very_long_row_is_computed_while_others_are(
    server: RunningServer, artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = server.app.service.registry.models["emb"].version
    assert version is not None
    monkeypatch.setattr(versions, "_LONG_S", version.lane.waiting.costs.seconds(1, 8))
    with onnxpress.pipeline(model=artifacts["emb"], threads=1) as pipe:
        expected = pipe(TEXTS[2])
    with ThreadPoolExecutor(1) as pool, blocked(server, "emb"):
        short = pool.submit(server.post, "/v1/embeddings", {"model": "emb", "input": TEXTS[1]})
        long = server.post("/v1/embeddings", {"model": "emb", "input": TEXTS[2]}).json
        assert not short.done(), "the computing thread was not blocked"
    np.testing.assert_array_equal(np.array(long["data"][0]["embedding"], np.float32), expected)
    assert short.result().status == 200


def test_long_rows_have_graphs_of_their_own_beside_short_ones(
    artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the lowest priority, told in the model's bytes, and closed when no long row came for a while."""
    with RunningServer({"emb": ModelSettings(str(artifacts["emb"]), threads=3)}) as server:
        server.wait()
        version = server.app.service.registry.models["emb"].version
        assert version is not None
        session, is_long = version.main.session, {TEXTS[1]: False, TEXTS[2]: True}
        monkeypatch.setattr(versions, "_LONG_S", version.lane.waiting.costs.seconds(1, 8))

        def ask(text: str) -> tuple[Any, set[int]]:
            """The vector, and how nice the threads are that came with it."""
            before = niceness()
            with blocked(server, "emb") if is_long[text] else contextlib.nullcontext():
                reply = server.post("/v1/embeddings", {"model": "emb", "input": text})
            vector = np.array(reply.json["data"][0]["embedding"], np.float32)
            return vector, {nice for task, nice in niceness().items() if task not in before}

        taken = server.get("/ready").json["models"]["emb"]["bytes"]
        alone, _ = ask(TEXTS[2])
        assert not session.has_apart, "nothing else was computed"
        ask(TEXTS[1])
        assert not session.has_apart
        beside, nice = ask(TEXTS[2])
        assert session.has_apart and (19 in nice or sys.platform != "linux")
        np.testing.assert_array_equal(beside, alone)
        assert server.get("/ready").json["models"]["emb"]["bytes"] == taken + version.apart.bytes > taken
        assert server.counted("onnxpress_model_bytes") == taken + version.apart.bytes
        monkeypatch.setattr(apart, "REST_S", 0.1)
        until = time.monotonic() + 60
        while session.has_apart:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert server.get("/ready").json["models"]["emb"]["bytes"] == taken
        monkeypatch.setattr(apart, "REST_S", 60.0)
        ask(TEXTS[1])
        again, _ = ask(TEXTS[2])
        assert session.has_apart
        np.testing.assert_array_equal(again, alone)


def niceness() -> dict[str, int]:
    """Of each thread of this process, on Linux."""
    tasks = Path("/proc/self/task").iterdir() if sys.platform == "linux" else ()
    return {task.name: int((task / "stat").read_text().rpartition(")")[2].split()[16]) for task in tasks}


def test_where_another_model_takes_the_room_long_rows_have_none_of_their_own(
    artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {name: ModelSettings(str(path), threads=1, lazy=True) for name, path in artifacts.items()}
    with RunningServer(models) as server:
        registry, body = server.app.service.registry, {"model": "emb", "input": TEXTS[2]}
        server.post("/v1/embeddings", body)
        version = registry.models["emb"].version
        assert version is not None
        session, ceiling = version.main.session, 10 * registry.models["emb"].bytes
        needed = version.apart._needed_bytes
        monkeypatch.setattr(versions, "_LONG_S", version.lane.waiting.costs.seconds(1, 8))

        def ask_long(room: int) -> bool:
            """Where models may have `room` bytes more; whether it was computed apart."""
            memory_bytes = registry.models["emb"].taken_bytes + room
            registry._settings = dataclasses.replace(registry._settings, memory_bytes=memory_bytes)
            with blocked(server, "emb"):
                assert server.post("/v1/embeddings", body).status == 200
            return session.has_apart

        assert not ask_long(needed - 1)
        assert ask_long(needed)
        registry._settings = dataclasses.replace(registry._settings, memory_bytes=ceiling)
        registry.models["sent"].bytes = ceiling - registry.models["emb"].bytes
        assert server.post("/models/sent", {"inputs": "a"}).status == 200
        assert registry.models["emb"].state.value == "ready", "what was open for long rows made room enough"
        assert registry.models["emb"].taken_bytes == registry.models["emb"].bytes
        until = time.monotonic() + 60
        while session.has_apart:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", lambda text: {"model": "emb", "input": text}),
        ("/models/sent", lambda text: {"inputs": text}),
    ],
)
def test_the_answer_under_load_is_the_answer_alone(
    server: RunningServer, path: str, body: Callable[[str], Any]
) -> None:
    """Bit for bit, as text, whatever shares the batch."""
    texts = [text for text in (*TEXTS, " ".join(TEXTS[:2]), "x") for _ in range(6)]
    alone = {text: server.post(path, body(text)).body for text in set(texts)}
    with ThreadPoolExecutor(24) as clients:
        with blocked(server, "emb"):
            asked = [clients.submit(server.post, path, body(text)) for text in texts]
            time.sleep(0.2)
        replies = [future.result() for future in asked]
    assert max(int(reply.headers["x-batch-rows"]) for reply in replies) > 1
    assert [reply.body for reply in replies] == [alone[text] for text in texts]


def test_what_clients_of_the_hub_expect(server: RunningServer) -> None:
    single = server.post("/models/sent", {"inputs": "Good.", "parameters": {"top_k": 2}}).json
    assert [len(labels) for labels in single] == [2]
    several = server.post("/models/sent", {"inputs": ["Good.", "Bad."]}).json
    assert [set(labels[0]) for labels in several] == [{"label", "score"}] * 2
    similar = server.post("/models/emb", {"inputs": {"source_sentence": "a", "sentences": ["a", "b"]}}).json
    assert similar[0] == pytest.approx(1.0, abs=1e-5) and len(similar) == 2


def test_the_shapes_of_teis_routes(server: RunningServer) -> None:
    assert len(server.post("/embed", {"inputs": "Ada"}).json) == 1
    states = server.post("/embed_all", {"inputs": "Ada", "model": "emb"}).json
    [tokens] = server.post("/tokenize", {"inputs": "Ada", "model": "emb"}).json
    assert len(states[0]) == len(tokens)
    text = server.post("/decode", {"ids": [token["id"] for token in tokens], "model": "emb"}).json
    assert text == ["ada"] or text == ["Ada"]
    assert {label["label"] for label in server.post("/predict", {"inputs": "Ada", "model": "sent"}).json}
    assert server.get("/info").json["model_id"] == "emb"


def test_sparse_vectors_have_a_route_of_their_own(server: RunningServer, tmp_path: Path) -> None:
    artifact = write_sparse_embedder(tmp_path / "sparse")
    with RunningServer({"sparse": artifact}) as running, onnxpress.pipeline(model=artifact) as pipe:
        (weights,) = running.post("/embed_sparse", {"inputs": "good film"}).json
        expected = pipe("good film")
        assert [weight["index"] for weight in weights] == expected["indices"].tolist()
        np.testing.assert_allclose([weight["value"] for weight in weights], expected["values"], rtol=1e-6)
        for path, body in (("/embed", {"inputs": "a"}), ("/v1/embeddings", {"input": "a", "model": "sparse"})):
            reply = running.post(path, body)
            assert reply.status == 400 and b"POST /embed_sparse" in reply.body
    assert server.post("/embed_sparse", {"inputs": "a", "model": "emb"}).status == 400


def test_tensors_in_binary(server: RunningServer) -> None:
    text = b"Ada"
    data = len(text).to_bytes(4, "little") + text
    header = json.dumps(
        {
            "inputs": [
                {"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    reply = server.post("/v2/models/emb/infer", header + data, inference_header_content_length=str(len(header)))
    length = int(reply.headers["inference-header-content-length"])
    vector = np.frombuffer(reply.body[length:], "<f4")
    expected = server.post("/v1/embeddings", {"model": "emb", "input": "Ada"}).json["data"][0]["embedding"]
    np.testing.assert_array_equal(vector, np.array(expected, np.float32))


def test_every_route_is_described(server: RunningServer) -> None:
    document = server.get("/openapi.json").json
    assert {(method.upper(), path) for path, methods in document["paths"].items() for method in methods} == {
        (route.method, route.path) for route in server.app.router.routes
    }


@pytest.mark.nightly
def test_no_generated_request_makes_the_server_fail(server: RunningServer, tmp_path: Path) -> None:
    """schemathesis makes requests of the OpenAPI document, and such as break it; `pip install schemathesis`."""
    pytest.importorskip("schemathesis")
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    options = ["--checks", "not_a_server_error,content_type_conformance", "--max-examples", "50"]
    ran = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]


# Refusals.


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/embeddings", {"model": "emb", "input": [[101, 102]]}, 400, "token ids"),
        ("/v1/embeddings", {"model": "emb", "input": ""}, 400, "empty"),
        ("/v1/embeddings", {"model": "emb", "input": []}, 400, "empty"),
        ("/v1/embeddings", {"model": "emb", "input": "a", "dimensions": 3}, 400, "--any-dimensions"),
        ("/v1/embeddings", {"model": "embb", "input": "a"}, 404, "Did you mean 'emb'"),
        ("/v1/embeddings", {"model": "sent", "input": "a"}, 400, "text-classification"),
        ("/v1/embeddings", {"model": "emb", "input": "a word " * 500}, 413, "tokens, and the model reads"),
        ("/v1/embeddings", b"{", 400, "no JSON"),
        ("/v1/embeddings", b"[" * 100 + b"]" * 100, 400, "deeper"),
        ("/v1/embeddings", {"model": "emb", "input": ["a"] * 5000}, 413, "5000"),
        ("/models/sent", {"inputs": "a", "parameters": {"batch_size": 1}}, 422, "not for a request"),
        ("/models/sent", {"inputs": "a", "parameters": {"tokenizer": "/etc"}}, 422, "not for a request"),
        ("/models/sent", {"inputs": "a", "parameters": {"topk": 1}}, 422, "top_k"),
        ("/models/..%2F..%2Fetc", {"inputs": "a"}, 404, ""),
        ("/nothing", {}, 404, "openapi.json"),
        ("/health", {}, 405, "GET"),
    ],
)
def test_refusals_say_why(server: RunningServer, path: str, body: Any, status: int, words: str) -> None:
    reply = server.post(path, body)
    assert reply.status == status, reply.body
    assert words in reply.body.decode().replace('\\"', '"')
    assert reply.headers["x-request-id"]


def test_a_cut_is_asked_for_and_reported(server: RunningServer) -> None:
    reply = server.post("/embed", {"inputs": "a word " * 500, "truncate": True})
    assert reply.status == 200 and ">" in reply.headers["x-truncated"]


def test_other_origins_hosts_and_kinds_of_bodies_are_refused(server: RunningServer) -> None:
    body = {"inputs": "a"}
    assert server.post("/models/sent", body, origin="https://evil.example").status == 403
    assert server.post("/models/sent", body, origin=server.url).status == 200
    assert server.get("/v1/models", host="evil.example").status == 421
    assert server.post("/models/sent", body, content_type="text/plain").status == 415
    assert server.post("/models/sent", body, content_encoding="gzip").status == 415
    assert server.post("/models/sent", body, content_length=str(2**40)).status == 413


def test_a_key_is_needed_everywhere_but_for_health(artifacts: dict[str, Path]) -> None:
    keys = {"first": "secret-key-1", "second": "secret-key-2"}
    with RunningServer({"sent": artifacts["sent"]}, api_keys=keys) as running:
        for route in running.app.router.routes:
            path = route.path.replace("{model}", "sent").replace("{version}", "1").replace("{task}", "x")
            status = running.ask(route.method, path, b"{}" if route.method == "POST" else None).status
            assert status == (200 if route.path == "/health" else 401), route.path
        assert running.get("/nowhere").status == 401
        assert running.get("/v1/models", authorization="Bearer wrong-key-1").status == 401
        for shown in (
            {"authorization": "Bearer secret-key-2"},
            {"x_api_key": "secret-key-1"},
            {"authorization": "Basic " + base64.b64encode(b":secret-key-1").decode()},
        ):
            assert running.get("/v1/models", **shown).status == 200


# Load.


def test_no_layout_of_memory_is_kept_for_each_shape(server: RunningServer) -> None:
    version = server.app.service.registry.models["sent"].version
    assert version is not None
    assert not version.main.session.opened(None).session.get_session_options().enable_mem_pattern


def test_a_full_queue_says_when_to_ask_again(artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pulse, "check", lambda self, most_s: None)
    with (
        RunningServer({"emb": artifacts["emb"]}, waiting_s=0.001, bulk_s=0.001) as running,
        ThreadPoolExecutor(40) as pool,
    ):
        running.wait()
        with blocked(running, "emb"):
            asked = [pool.submit(running.post, "/embed", {"inputs": TEXTS[2]}) for _ in range(40)]
            time.sleep(0.3)
        replies = [future.result() for future in asked]
        refused = [reply for reply in replies if reply.status == 429]
        assert refused and any(reply.status == 200 for reply in replies)
        for reply in refused:
            assert int(reply.headers["retry-after"]) >= 1 and int(reply.headers["retry-after-ms"]) >= 1
            assert reply.json["error_type"] == "overloaded"


def test_a_client_that_left_and_one_whose_time_is_up_cost_nothing(server: RunningServer) -> None:
    computed = server.counted("onnxpress_computed_tokens_total")
    with blocked(server, "emb"):
        late = server.post("/embed", {"inputs": TEXTS[2]}, x_request_timeout_ms="50")
        body = json.dumps({"inputs": TEXTS[2]}).encode()
        with server.connection() as left:
            left.sendall(
                b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n" % len(body) + body
            )
            time.sleep(0.1)
        time.sleep(0.1)
    assert late.status == 504 and late.headers["x-should-retry"] == "false"
    assert server.counted("onnxpress_computed_tokens_total") == computed
    assert server.counted("onnxpress_dropped_rows_total") >= 2


def test_a_poisoned_input_fails_alone(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    version = server.app.service.registry.models["emb"].version
    assert version is not None
    pipe: Any = version.main
    compute = type(pipe).compute

    def poisoned(self: Any, samples: Any, options: Any) -> Any:
        if any(sample.cost > 12 for sample in samples):
            raise RuntimeError("the engine does not like long texts")
        values = compute(self, samples, options)
        return [value * np.nan if sample.cost == 3 else value for value, sample in zip(values, samples, strict=True)]

    monkeypatch.setattr(type(pipe), "compute", poisoned)
    texts = [*TEXTS, "Ada lives."]
    with ThreadPoolExecutor(8) as pool:
        with blocked(server, "emb"):
            asked = [pool.submit(server.post, "/embed", {"inputs": text}) for text in texts]
            time.sleep(0.2)
        replies = [future.result() for future in asked]
    statuses = [reply.status for reply in replies]
    assert statuses[2] == 500 and statuses.count(200) >= 2, statuses
    assert all(reply.headers["x-should-retry"] == "false" for reply in replies if reply.status == 500)
    assert b"engine does not like" not in replies[2].body


def test_health_answers_while_models_compute(server: RunningServer) -> None:
    with blocked(server, "emb"):
        assert server.get("/health").status == 200
        assert server.get("/status").json["models"]["emb"]["state"] == "ready"


# Lives of models.


def test_a_lazy_model_is_opened_by_its_first_request_and_closed_when_unused(artifacts: dict[str, Path]) -> None:
    lazy = ModelSettings(str(artifacts["sent"]), threads=1, lazy=True)
    with RunningServer({"sent": lazy}) as running:
        assert running.get("/ready").status == 200
        assert running.get("/ready").json["models"]["sent"]["state"] == "closed"
        assert running.post("/models/sent", {"inputs": "a"}).status == 200
        assert running.get("/ready").json["models"]["sent"]["state"] == "ready"


def test_a_model_that_cannot_be_opened_is_told_without_its_path(tmp_path: Path, artifacts: dict[str, Path]) -> None:
    with RunningServer({"sent": artifacts["sent"], "bad": tmp_path / "nothing-here"}) as running:
        reply = running.post("/models/bad", {"inputs": "a"})
        assert reply.status == 503 and str(tmp_path) not in reply.body.decode()
        assert running.post("/models/sent", {"inputs": "a"}).status == 200
        assert running.get("/ready").status == 503


def test_two_models_take_turns_under_a_ceiling(artifacts: dict[str, Path]) -> None:
    models = {name: ModelSettings(str(path), threads=1, lazy=True) for name, path in artifacts.items()}
    with RunningServer(models, memory_bytes=1) as running:
        assert running.post("/models/sent", {"inputs": "a"}).status == 503
    with RunningServer(models) as running:
        registry = running.app.service.registry
        assert running.post("/models/sent", {"inputs": "a"}).status == 200
        ceiling = registry.models["sent"].bytes + 1
        registry._settings = dataclasses.replace(registry._settings, memory_bytes=10 * ceiling)
        registry.models["sent"].bytes = 10 * ceiling - 1
        assert running.post("/models/emb", {"inputs": "a"}).status == 200
        assert registry.models["sent"].state.value == "closed"
        registry.models["emb"].bytes = 10 * ceiling - 1
        registry.models["sent"].bytes = ceiling
        assert running.post("/models/sent", {"inputs": "a"}).status == 200


def test_a_changed_artifact_is_opened_anew_and_no_request_fails(
    tmp_path: Path, artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxpress.serve import registry

    monkeypatch.setattr(registry, "WATCH_S", 0.05)
    folder = tmp_path / "changing"
    shutil.copytree(artifacts["sent"], folder)
    with RunningServer({"m": folder}) as running:
        model = running.wait().app.service.registry.models["m"]
        old, statuses, done = model.version, [], threading.Event()

        def ask() -> None:
            while not done.is_set():
                statuses.append(running.post("/models/m", {"inputs": "a"}).status)

        asking = threading.Thread(target=ask)
        asking.start()
        manifest = folder / "onnxpress.json"
        manifest.write_text(manifest.read_text())
        os.utime(manifest, ns=(1, 1))
        deadline = time.monotonic() + 20
        while model.version is old and time.monotonic() < deadline:
            time.sleep(0.02)
        done.set()
        asking.join()
        assert model.version is not old and old is not None
        assert set(statuses) == {200}
        while not old.main.session.closed and time.monotonic() < deadline:
            time.sleep(0.02)
        assert old.main.session.closed
        manifest.write_text("{")
        while model.problem is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert running.post("/models/m", {"inputs": "a"}).status == 200, "the version before stays"


# Connections.


def test_silent_connections_are_closed_and_others_answered(artifacts: dict[str, Path]) -> None:
    with RunningServer({"sent": artifacts["sent"]}, header_timeout_s=0.6) as running:
        silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(200)]
        silent[0].sendall(b"POST /models/sent HTTP/1.1\r\nx: ")
        silent[1].sendall(b"POST /models/sent HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n{")
        assert running.wait().post("/models/sent", {"inputs": "a"}).status == 200
        for connection in silent:
            connection.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) in (b"", b"H")
            connection.close()


def test_headers_without_end_are_cut_off(server: RunningServer) -> None:
    with server.connection() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
        with pytest.raises(OSError):
            for number in range(400):
                connection.sendall(b"x-%d: %s\r\n" % (number, b"y" * 1000))
                time.sleep(0.001)
            connection.settimeout(2)
            assert connection.recv(1) == b""
            raise ConnectionResetError


def test_a_slow_reader_holds_up_nobody(server: RunningServer) -> None:
    body = json.dumps({"inputs": TEXTS * 200}).encode()
    with server.connection() as slow:
        slow.sendall(
            b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        assert slow.recv(1) == b"H"
        assert server.post("/models/sent", {"inputs": "a"}).status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_sigterm_ends_what_was_begun_and_then_the_process(artifacts: dict[str, Path]) -> None:
    """The command itself, in a process of its own."""
    command = [sys.executable, "-m", "onnxpress", "serve", f"sent={artifacts['sent']}", "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = 0
        for line in process.stderr:
            entry = json.loads(line)
            if "Uvicorn running" in entry["message"]:
                port = int(entry["message"].partition("127.0.0.1:")[2].split()[0])
            if entry["message"] == "model opened":
                break
        body = json.dumps({"inputs": ["a"] * 1500}).encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /models/sent HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n" % len(body) + body
            )
            time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            answered = b""
            while chunk := connection.recv(65536):
                answered += chunk
        rest = process.stderr.read()
        process.wait(30)
    assert answered.startswith(b"HTTP/1.1 200") and answered.rstrip().endswith(b"]]"), answered[:200]
    assert "Traceback" not in rest


def test_the_address_of_others_needs_a_key(artifacts: dict[str, Path]) -> None:
    with pytest.raises(onnxpress.InputError, match="--no-auth"):
        RunningServer(artifacts, host="0.0.0.0").server.config.app.settings.check()
