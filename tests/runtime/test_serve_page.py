"""The page at "/" in a real browser: every task of every model is tried, wide and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

for needed in ("uvicorn", "httptools", "orjson", "prometheus_client"):
    pytest.importorskip(needed)

from tests.fixtures.browser import browser_program, browsing  # noqa: E402
from tests.fixtures.embedder import write_several_embedder  # noqa: E402
from tests.fixtures.serving import RunningServer  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "golden"

#: Sends what each form has in it, one after the other, and tells what came of it.
TRY_ALL = """(async () => {
  const pause = ms => new Promise(done => setTimeout(done, ms));
  const wait = async until => { for (let n = 0; n < 400 && !until(); n++) await pause(25); };
  const by = id => document.getElementById(id), tried = [];
  await wait(() => by("model").options.length && by("task").options.length);
  for (const model of [...by("model").options].map(option => option.value)) {
    by("model").value = model;
    by("model").dispatchEvent(new Event("change"));
    for (const task of [...by("task").options].map(option => option.value)) {
      by("task").value = task;
      by("task").dispatchEvent(new Event("change"));
      for (const field of document.querySelectorAll("#fields :is(input, textarea):not(#field-n)")) field.value = "good";
      by("fields").dispatchEvent(new Event("input"));
      await wait(() => by("source").textContent.includes("good"));
      by("send").click();
      await pause(100);
      await wait(() => !by("send").disabled);
      const texts = selector => [...document.querySelectorAll(selector)].map(e => e.textContent);
      const [why, took, code, result] = ["why", "took", "source", "result"].map(id => by(id).textContent);
      const scrolls = document.documentElement.scrollWidth > innerWidth;
      tried.push({ model, task, why, took, code, result, scrolls, bad: texts("#result .bad"),
        said: texts(".said.assistant") });
    }
  }
  return tried;
})()"""


@pytest.fixture(scope="module")
def program() -> str:
    path = browser_program()
    if path is None:
        pytest.skip("no browser: $CHROME may name one")
    return path


@pytest.mark.parametrize("width", [1280, 360])
def test_every_task_can_be_tried(program: str, tmp_path: Path, width: int) -> None:
    models = {
        "emb": GOLDEN / "4-embedder" / "artifact",
        "lm": GOLDEN / "3-decoder" / "artifact",
        "class": GOLDEN / "5-classifier" / "artifact",
        "several": write_several_embedder(tmp_path / "several"),
    }
    with RunningServer(models) as server, browsing(program, tmp_path / "profile") as page:
        server.wait()
        page.open(f"{server.url}/", width)
        tried: list[dict[str, Any]] = page.run(TRY_ALL)
        offered = {
            (name, task) for name, model in server.get("/ready").json["models"].items() for task in model["tasks"]
        }
        assert {(entry["model"], entry["task"]) for entry in tried} == offered
        for entry in tried:
            assert not entry["bad"] and entry["result"] and not entry["scrolls"], entry
            assert "ms" in entry["took"] and entry["why"].startswith("Variant "), entry
            assert entry["code"].startswith("curl ") and server.url in entry["code"]
            assert entry["task"] != "text-generation" or entry["said"]
        assert not page.errors
