"""Servers of embeddings: onnxpress's own, infinity, and sentence-transformers behind FastAPI."""

from __future__ import annotations

from onnxpress_bench.backends.servers import MODEL, Server, own_command

#: No figures are sent to anybody, and nothing is asked of the Hub.
_ALONE = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}


class OnnxpressServer(Server):
    """`onnxpress serve`, with one variant of the artifact."""

    ready = "/ready"
    distributions = ("onnxpress[cpu,serve]",)

    @staticmethod
    def check(spec: object) -> None:
        """It knows whatever it exports."""

    def command(self, port: int) -> list[str]:
        """With the usual settings."""
        return own_command(self.spec, port)


class Infinity(Server):
    """infinity with PyTorch, as its README starts it."""

    embeddings = "/embeddings"
    distributions = ("infinity-emb[torch,server]",)
    environment = _ALONE

    def command(self, port: int) -> list[str]:
        """With its own defaults, on the CPU."""
        model = ["--model-id", self.spec.folder, "--served-model-name", MODEL, "--engine", "torch", "--device", "cpu"]
        where = ["--port", str(port), "--log-level", "error"]
        return ["-c", "from infinity_emb.cli import cli; cli()", "v2", *model, *where]


class FastApi(Server):
    """sentence-transformers in a function of FastAPI (fastapi_app.py)."""

    distributions = ("fastapi", "uvicorn[standard]", "sentence-transformers")

    @property
    def environment(self) -> dict[str, str]:  # type: ignore[override]
        """The application reads where its model is."""
        return {**_ALONE, "MODEL": self.spec.folder}

    def command(self, port: int) -> list[str]:
        """By uvicorn."""
        application = "onnxpress_bench.backends.fastapi_app:app"
        return ["-m", "uvicorn", application, "--port", str(port), "--log-level", "error"]
