"""The tables of the page, and what is said beside them. Pure: a record in, HTML out."""

from __future__ import annotations

from onnxpress.cli.inspection import size
from onnxpress_bench.comparison import BackendInfo, Comparison, Failure
from onnxpress_bench.measures import Row
from onnxpress_bench.report import tables
from onnxpress_bench.report.markup import Markup, bullets, element, fields, join, table
from onnxpress_bench.report.scene import Scene
from onnxpress_bench.report.verdict import was_compared, wrong_figures
from onnxpress_bench.statistics import Gain

RULE_OF_GAIN = (
    "Every backend answered the same items in this run, and its answers were compared with the reference's: cosines "
    "and agreements are 1 for equal answers, differences 0. A gain says how many times better; in brackets the "
    "interval that holds the true gain in 95 of 100 such runs. A difference is claimed only where it excludes 1."
)
RULE_OF_LIMITS = (
    "What the best software here reached in this run, and how near each backend comes. Operations are counted once, "
    "for the reference; bytes are those of the weights, read once a query. The limit is the best float32 product "
    "measured: int8 may exceed it, and float32 whose shapes suit it better."
)


def badge(backend: BackendInfo) -> Markup:
    """In words whether the answers are right; nothing where they were not compared."""
    if wrong_figures(backend):
        return element("span", "WRONG answers", class_="badge wrong")
    return element("span", "same answers", class_="badge right") if was_compared(backend) else Markup("")


def measures(scene: Scene) -> Markup:
    """Each backend's figure, and the gain below it."""
    comparison = scene.comparison
    header = ["measure", *(join([name, " ", badge(comparison.backend(name))]) for name in comparison.names)]
    rows = [[_title(row), *(_cell(row, name) for name in comparison.names)] for row in scene.rows]
    caption = f"Speed, cold start and memory; gains over {comparison.base}"
    return table(caption, header, rows, ["measure", *comparison.names])


def _title(row: Row) -> str:
    return (
        row.title if not row.title.startswith(" ") else element("span", "of it: " + row.title.strip(), class_="about")
    )


def _cell(row: Row, name: str) -> Markup:
    if name not in row.values:
        return Markup("-")
    value = element("span", tables.figure(row.values[name], row.unit), class_="value")
    if name not in row.gains:
        return value
    kind = row.verdicts[name].split(" ")[0]
    return element("span", value, element("span", _gain(row.gains[name]), class_=f"gain {kind}"))


def _gain(gain: Gain) -> str:
    """Its interval on one line."""
    return tables.gain_text(gain).replace(", ", ",\N{NO-BREAK SPACE}")


def quality(scene: Scene) -> Markup:
    """A row for each backend: how near its answers are, and beside it what it gains."""
    comparison, held = scene.comparison, tables.answers(scene.comparison)
    gains, title = _headlines(scene), tables.answers_title(comparison)
    if not held:
        return Markup("")
    rows = []
    for place, name in enumerate(comparison.names):
        figures = [_answer(cells[place]) for cells in held.values()]
        rows.append([name, *figures, *(_gain(row.gains[name]) if name in row.gains else "-" for row in gains)])
    return table(f"{title[0].upper()}{title[1:]}, and gains", ["backend", *held, *(row.title for row in gains)], rows)


def _headlines(scene: Scene) -> list[Row]:
    """The first and the last latency, and one throughput."""
    compared = [row for row in scene.rows if row.gains]
    waits = [row for row in compared if row.name.split(" ")[0] in ("latency_p50", "first_token")]
    rates = [row for row in compared if row.name.split(" ")[0] in ("offline", "mixed", "decode")]
    return [*waits[:1], *waits[1:][-1:], *rates[-1:]]


def _answer(cell: str) -> str:
    return element("span", cell, class_="wrong-cell") if cell.endswith("WRONG") else cell


def resources(comparison: Comparison) -> Markup:
    """Bytes on disk, padding and batches."""
    columns = tables.sizes(comparison)
    rows = [[name, *(cells[place] for cells in columns.values())] for place, name in enumerate(comparison.names)]
    return table("Each backend", ["backend", *columns], rows) if columns else Markup("")


def batchings(comparison: Comparison) -> Markup:
    """What the pilot tried, where it had a choice; each backend's best is what was measured."""
    tried = [backend for backend in comparison.backends if len(backend.rates) > 1 and backend.control_of is None]
    names = list(dict.fromkeys(batching for backend in tried for batching in backend.rates))
    rows = [
        [
            backend.name,
            *(f"{backend.rates[name]:.4g} {comparison.unit}/s" if name in backend.rates else "-" for name in names),
        ]
        for backend in tried
    ]
    return table(
        "Batchings that a short pilot tried; each backend then ran with its fastest", ["backend", *names], rows
    )


def limits(scene: Scene) -> Markup:
    """The machine's ceilings, and what each backend achieved below them."""
    comparison, ceiling = scene.comparison, scene.comparison.limits
    rows = [[title, *cells] for title, cells in tables.achievements(comparison, scene.rows).items()]
    table_of_rows = table("Achieved", ["query", *comparison.names], rows)
    if ceiling is None:
        return table_of_rows
    int8 = "" if ceiling.int8_gemm_gops is None else f"{ceiling.int8_gemm_gops:.4g} GOP/s ({ceiling.int8_gemm_by})"
    ceilings = {
        "threads": str(ceiling.threads),
        "best fp32 product": f"{ceiling.fp32_gemm_gflops:.4g} GFLOP/s ({ceiling.fp32_gemm_by})",
        "best int8 product": int8,
        "reading memory": f"{ceiling.read_gb_per_s:.3g} GB/s",
    }
    return join([fields(ceilings), table_of_rows])


_CONTROL = (
    "One backend ran twice, under two names: these intervals should contain 1, but for one in twenty. How far they "
    "stray is how far any gain can stray by chance."
)


def noise(scene: Scene) -> Markup:
    """The control's intervals, and which blocks were disturbed."""
    trust, copy = scene.findings, scene.comparison.control
    parts = []
    if copy is not None and trust.floor is not None:
        parts.append(element("p", _CONTROL, class_="about"))
        parts.append(
            element(
                "p",
                f"{copy.control_of} against its own copy differed by {trust.floor:.1%} (median of "
                f"{len(trust.controls)} measures); {len(trust.false_alarms)} intervals of {len(trust.controls)} "
                "exclude 1.",
            )
        )
        rows = [[control.title, _gain(control.gain)] for control in trust.controls]
        parts.append(table("A/A control", ["measure", "gain of the copy"], rows))
    if trust.disturbed:
        listed = ", ".join(f"{name} {block + 1}" for name, block in trust.disturbed)
        parts.append(element("p", f"Disturbed blocks: {listed}."))
    return join(parts)


def failed(failure: Failure) -> str:
    """What failed, when, and the last thing it said."""
    when = "before anything was timed" if failure.block is None else f"in block {failure.block + 1}"
    return f"{failure.backend}, {when}: {failure.message}"


def doubts(comparison: Comparison) -> list[str]:
    """Reasons to doubt that lie not in the machine but in what was compared."""
    reasons = []
    if comparison.interrupted:
        reasons.append("The run was interrupted: the figures are of what was measured until then.")
    if comparison.same_weights is False:
        reasons.append(
            f"The weights of {comparison.checkpoint} are not those that the artifact was made from. Export it again, "
            "or name the right checkpoint."
        )
    unsustained = dict.fromkeys(run.backend for run in comparison.runs if "server_unsustained" in run.samples)
    reasons += [f"{name} sustained no rate within the server's bound in at least one block." for name in unsustained]
    if comparison.base not in {run.backend for run in comparison.runs}:
        reasons.append(f"{comparison.base} was not measured, so there are no gains.")
    return reasons


def method(comparison: Comparison) -> Markup:
    """How it was measured, and with which settings."""
    settings = comparison.settings
    said = [
        "A fresh process for each backend and block. Each block runs every backend once, in an order drawn from the "
        "seed, so that a drift of the machine meets all alike.",
        "The same texts, arguments and number of threads for all.",
        "Each backend is warmed up until its times are stable. A figure is the median of its blocks, a gain the median "
        "of the blocks' ratios; its interval comes from the bootstrap over blocks and Student's t, on logarithms.",
        "Cold start: from just before the process is created to its first answer, its files being in the disk cache.",
        "Memory: the most that the process has had resident.",
    ]
    if settings.control:
        said.append("One backend runs twice, under two names, as a control of the method itself.")
    if "server" in settings.scenarios:
        said.append(
            "Server: queries arrive by a Poisson process and do not wait; latency counts from when each was meant to "
            "be sent."
        )
    tokens = ", ".join(f"{name}: {mean:.0f}" for name, mean in comparison.tokens.items())
    values = {
        "blocks": f"{max((run.block + 1 for run in comparison.runs), default=0)} of {settings.blocks}",
        "seconds per block": f"{settings.latency_s:g} for each shape, {settings.stream_s:g} for the stream",
        "warm-up": f"until stable, at most {settings.warm_up_s:g} s",
        "threads": str(settings.threads),
        "device": settings.device,
        "seed": str(settings.seed),
        "scenarios": ", ".join(settings.scenarios),
        "shapes": ", ".join(settings.shapes),
        "mean tokens": tokens,
        "tokenization": settings.tokenization,
        "stream": f"{comparison.stream_items} {comparison.unit}, lengths: {settings.lengths}",
        "server": _server(comparison),
    }
    return join([bullets(said), fields(values), _backends(comparison)])


def _server(comparison: Comparison) -> str:
    settings = comparison.settings
    if "server" not in settings.scenarios:
        return ""
    if settings.server_rate_per_s:
        return f"{settings.server_queries} queries at {settings.server_rate_per_s:g}/s"
    return f"{settings.server_queries} queries, the highest rate whose p99 is within {settings.server_p99_ms or 0:g} ms"


def _backends(comparison: Comparison) -> Markup:
    rows = [
        [backend.name, backend.about, f"a copy of {backend.control_of}" if backend.control_of else ""]
        for backend in comparison.backends
    ]
    return table("Backends", ["backend", "what it is", "note"], rows)


def machine(comparison: Comparison) -> Markup:
    """Everything that is known of the machine."""
    machine = comparison.machine
    shown = {None: "", True: "yes", False: "no"}
    return fields(
        {
            "processor": machine.processor,
            "cores": f"{machine.usable_cores} usable of {machine.cores}",
            "affinity": ", ".join(map(str, machine.affinity)),
            "threads per core": str(machine.threads_per_core or ""),
            "clock": f"{machine.frequency_mhz:.0f} MHz" if machine.frequency_mhz else "",
            "governor": machine.governor or "",
            "boost": shown[machine.boost],
            "on battery": shown[machine.on_battery],
            "virtual": shown[machine.virtual],
            "memory": size(machine.memory_bytes),
            "GPU": machine.gpu or "",
            "system": machine.system,
            "load before": f"{machine.busy_share:.0%} of the usable cores, load average {machine.load_average:g}",
        }
    )


def versions(comparison: Comparison) -> Markup:
    """Of everything that ran."""
    return fields(tables.all_versions(comparison))
