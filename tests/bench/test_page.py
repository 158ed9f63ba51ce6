"""The HTML report: what it says is what the terminal says, it needs nothing but itself, and browsers show it well."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from onnxpress_bench.comparison import Comparison, Failure
from onnxpress_bench.measures import summarize
from onnxpress_bench.report.plots import PLOTS
from onnxpress_bench.report.scene import scene_of
from onnxpress_bench.report.terminal import render
from onnxpress_bench.report.verdict import verdicts
from tests.fixtures.bench import quiet_comparison
from tests.fixtures.processes import HANG_S

pytest.importorskip("matplotlib")

WRONG = {"onnxpress int8": {"cosine, mean": 0.981, "cosine, worst": 0.932}}
HOSTILE = '</title><script>alert("x")</script><img src=x onerror=alert(1)> & $x^2$ %s \x07 \ud800'

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Walk(HTMLParser):
    """Checks that tags are balanced, and collects what the page would load, its ids, and the text of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.cells: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"a handler: {name}"
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.loads.append(value or "")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "td" in self.open:
            self.cells[-1] += f" {data}"


def page_of(comparison: Comparison) -> str:
    from onnxpress_bench.report.page import render_page

    return render_page(comparison)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """As a demo's, with a backend that is fast and wrong, and one that failed."""
    failed = [
        Failure("openvino", None, "ImportError: no module named 'openvino'"),
        Failure("onnxpress int8", 4, "killed"),
    ]
    return quiet_comparison(quality=WRONG, failures=failed)


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> str:
    return page_of(comparison)


def test_it_is_well_formed_and_loads_nothing(page: str) -> None:
    walk = Walk(page)
    assert {"h1", "table", "figure", "svg", "title", "desc", "figcaption"} <= set(walk.tags)
    assert not {"script", "link", "iframe", "object", "embed", "img", "base", "form"} & set(walk.tags)
    assert all(one.startswith("#") for one in walk.loads)
    assert {one[1:] for one in walk.loads} <= set(walk.ids)
    assert all(target in walk.ids for target in re.findall(r"url\(#([^)]+)\)", page))
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert len(walk.ids) == len(set(walk.ids))


def test_every_plot_is_there_and_says_what_it_shows(page: str) -> None:
    walk = Walk(page)
    assert page.count('role="img"') == len(PLOTS) == walk.tags.count("figure") == walk.tags.count("desc")
    said = " ".join(walk.text)
    for plot in PLOTS:
        assert plot.title in said and said.count(plot.caption) == 2  # as a caption, and for those who cannot see it


def test_its_tables_hold_what_the_terminal_shows(comparison: Comparison, page: str) -> None:
    """Every figure and gain of the terminal's tables is a cell here, and every number in a cell is the terminal's."""
    shown = render(comparison)
    cells = {re.sub(r"\s+", " ", cell).strip() for cell in Walk(page).cells}
    scene = scene_of(comparison)
    for line in shown.split("\n\n")[1].splitlines()[2:]:
        title, *figures = re.split(r"\s{2,}", line.strip())
        joined = " ".join(cells)
        for figure in figures:
            assert figure in joined, (title, figure)
    numbers = {number for cell in cells for number in re.findall(r"\d+\.\d+", cell)}
    known = shown + " ".join(
        f"{one.gain.ratio:.2f} {one.gain.low:.2f} {one.gain.high:.2f}" for one in scene.findings.controls
    )
    assert len(numbers) > 100
    assert {number for number in numbers if number not in known} == set()


def test_wrong_answers_failures_and_warnings_come_before_any_figure(comparison: Comparison, page: str) -> None:
    head = page[: page.index("<table")]
    assert "WRONG answers: onnxpress int8" in head
    assert "openvino in the pilot: ImportError" in head and "onnxpress int8 in block 5: killed" in head
    assert "Before you trust the figures" in head and "Too noisy for close comparisons" in head
    quiet = page_of(quiet_comparison(noise=0.001, server_per_s=None))
    assert not any(said in quiet for said in ("Before you trust", "WRONG answers:", "left out from there on"))


def test_the_verdict_says_what_is_better_worse_and_not_shown() -> None:
    record = quiet_comparison({"pytorch": 1.0, "twice": 2.0, "half": 0.5, "same": 1.0})
    twice, half, same = verdicts(record, summarize(record))
    for said, kind in ((twice, "better"), (half, "worse"), (same, "same")):
        # Nine latencies make three sentences: the tails of a shape go with its median.
        assert {name: len(getattr(said, name)) for name in ("better", "worse", "same") if getattr(said, name)} == {
            kind: 10
        }
    assert "better in 16 of 16 measures, worse in none, no difference shown in none" in twice.summary
    interval = r"\[1\.\d\d,\xa02\.\d\d\]"
    assert re.fullmatch(
        rf"latency p50, 1 x 16 tokens: [12]\.\d\dx as fast {interval}; p90 and p99 likewise", twice.better[0]
    )
    assert re.fullmatch(rf"peak memory: multiplied by [12]\.\d\d {interval}", half.worse[-1])
    page = html.unescape(page_of(record))
    assert all(sentence in page for said in (twice, half, same) for sentence in (*said.better, *said.worse, *said.same))


def test_hostile_names_stay_text() -> None:
    record = quiet_comparison({HOSTILE: 1.0, f"fast {HOSTILE}": 2.0}, model=f"/models/{HOSTILE}", command=HOSTILE)
    record = replace(
        record,
        checkpoint=HOSTILE,
        task=HOSTILE,
        unit=HOSTILE,
        versions={HOSTILE: HOSTILE},
        failures=(Failure(HOSTILE, 1, HOSTILE),),
    )
    page = page_of(record)
    page.encode()
    walk = Walk(page)
    assert not {"script", "img"} & set(walk.tags)
    assert page.count("<title") == 1 + len(PLOTS)
    assert 'alert("x")' in " ".join(walk.text)


@pytest.mark.parametrize(
    ("blocks", "control", "limits", "rate"), [(1, False, False, None), (2, True, False, 20.0), (3, False, True, None)]
)
def test_what_was_not_measured_is_left_out(blocks: int, control: bool, limits: bool, rate: float | None) -> None:
    record = quiet_comparison(blocks=blocks, control=control, limits=limits, server_per_s=rate)
    page = page_of(record)
    Walk(page)
    drawn = {plot.name for plot in PLOTS if f'id="{plot.name}-title"' in page}
    missing = {name for name, absent in (("roofline", not limits), ("forest", blocks == 1)) if absent}
    assert drawn == {plot.name for plot in PLOTS} - missing
    assert ("A/A control</" in page) is control


def test_a_run_in_which_the_reference_failed_is_shown_too() -> None:
    record = quiet_comparison()
    record = replace(
        record,
        runs=tuple(run for run in record.runs if run.backend != "pytorch"),
        backends=tuple(replace(one, quality={}) for one in record.backends),
        failures=(Failure("pytorch", None, "out of memory"),),
        interrupted=True,
    )
    page = page_of(record)
    Walk(page)
    assert "pytorch was not measured, so there are no gains" in page and "interrupted" in page
    assert page_of(replace(record, runs=())) and summarize(replace(record, runs=())) == []


def test_it_is_written_whole_the_same_each_time_and_leaves_matplotlib_as_it_was(
    comparison: Comparison, page: str, tmp_path: Path
) -> None:
    import matplotlib

    from onnxpress_bench.report.page import write_page

    before = dict(matplotlib.rcParams)
    write_page(comparison, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    assert dict(matplotlib.rcParams) == before


# What a browser makes of it.

BROWSERS = (
    os.environ.get("CHROME", ""),
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

#: In the test's copy of the page only: tells the page around it how wide it is, and what does not fit.
PROBE = """<script>
addEventListener("load", () => parent.postMessage({
  width: innerWidth,
  scroll: document.documentElement.scrollWidth,
  wide: [...document.querySelectorAll("body *:not(svg *)")].filter(
    one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".frame")
  ).map(one => one.outerHTML.slice(0, 99)),
  smallest: Math.min(...[...document.querySelectorAll("svg text")].map(
    one => parseFloat(getComputedStyle(one).fontSize) * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b))),
}, "*"));
</script></body>"""

AROUND = """<!doctype html><body style="margin:0"><pre id="found"></pre>
{frames}
<script>
const found = [];
addEventListener("message", event => {{
  found.push(event.data);
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(filter(None, BROWSERS))} on the PATH; $CHROME may name one")
    return found


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "profile"
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)


def browse(browser: str, profile: Path, *arguments: str) -> tuple[str, list[str]]:
    """What the browser printed, and what it said on the console."""
    command = [browser, *FLAGS, f"--user-data-dir={profile}", "--enable-logging=stderr", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def look(
    browser: str, profile: Path, page: str, folder: Path, *widths: int
) -> tuple[list[dict[str, object]], list[str]]:
    """How the page fits into windows of these widths, which are frames in one: a real one has a least width."""
    policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
    (folder / "page.html").write_text(policy.sub("", page).replace("</body>", PROBE), encoding="utf-8")
    frames = "".join(
        f'<iframe src="page.html" width="{width}" height="800" style="border:0"></iframe>' for width in widths
    )
    around = folder / "around.html"
    around.write_text(AROUND.format(frames=frames), encoding="utf-8")
    printed, console = browse(browser, profile, "--virtual-time-budget=10000", "--dump-dom", around.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', printed, re.DOTALL)
    assert found, printed[:500]
    return sorted(json.loads(re.sub("&[lg]t;", "", found[1]) or "[]"), key=lambda one: one["width"]), console


def test_it_fits_wide_and_narrow_windows(browser: str, profile: Path, tmp_path: Path) -> None:
    speeds = {"pytorch": 1, "torch.compile": 1.2, "a-backend-with-a-very-long-name-indeed fp32": 2, "openvino": 1.9}
    speeds |= {"ctranslate2": 1.7, "optimum-onnx": 2.2, "onnxpress int8": 4.0, "tokenizer+session fp32": 2.4}
    page = page_of(quiet_comparison(speeds, quality=WRONG, blocks=3, model="/" + "a-long-path/" * 12 + "model"))
    found, console = look(browser, profile, page, tmp_path, 360, 1280)
    assert console == []
    assert [one["width"] for one in found] == [360, 1280]
    for one in found:
        assert one["scroll"] == one["width"] and one["wide"] == []
        assert isinstance(one["smallest"], float) and one["smallest"] >= 7


def test_the_check_above_sees_what_does_not_fit(browser: str, profile: Path, tmp_path: Path) -> None:
    broken = '<!doctype html><body><p style="width:900px">wide</p><script>console.error("seen")</script></body>'
    (found,), console = look(browser, profile, broken, tmp_path, 360)
    assert (found["scroll"], len(found["wide"])) == (908, 1)  # type: ignore[arg-type]
    assert len(console) == 1 and "seen" in console[0]


def test_it_looks_like_something(browser: str, profile: Path, page: str, tmp_path: Path) -> None:
    """Screenshots of a wide window and a narrow one, with the page as it is, its policy included."""
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "narrow.html").write_text(
        '<!doctype html><body style="margin:0"><iframe src="page.html" width="360" height="8000" style="border:0">',
        encoding="utf-8",
    )
    for name, file, size in (("wide", "page.html", "1280,6000"), ("narrow", "narrow.html", "500,8000")):
        target = tmp_path / f"{name}.png"
        _, console = browse(
            browser, profile, f"--window-size={size}", f"--screenshot={target}", (tmp_path / file).as_uri()
        )
        assert console == []
        with image.open(target) as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
        # The plots' lines, in the backends' own colours, and the alarm's red.
        assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xB3, 0x00, 0x1B)} <= colours
