"""Tables, targets and figure of a benchmark; what machine it ran on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.problem import ARMS
from benchmarks.systems import SYSTEMS
from benchmarks.variants import LAYER_NORM
from bnstudy.experiment.block import processor
from bnstudy.report.style import look, plain_log_ticks, subplots

PACKAGES = ("torch", "numpy", "numba", "llvmlite", "jax", "jaxlib")
LABELS = {arm: look(arm).label for arm in ARMS}
TARGETS = [  # width, peer, at least so many times slower than bnstudy: with BN, without
    (300, "original", {"batch": 30, "none": 22}),
    (300, "jax", {"batch": 3, "none": 1.5}),
    (10, "original", {"batch": 200, "none": 200}),
]
# width: bnstudy takes at most so many times as long as the hand-written loop
OVER_HANDWRITTEN = {10: 1.4, 30: 1.25, 100: 1.2, 300: 1.15, 1000: 1.15}
# variant: at most so many times its baseline; what to know of it
VARIANT_TARGETS = {
    "none, batches of 50": (1.5, ": 20 steps, and the training set evaluated after them"),
    "batch, batches of 50": (1.5, ": 20 steps, and the training set evaluated after them"),
    "dropout": (2, ""),
}
OVER_BEST_PYTORCH = 1.3  # layer norm
SHORT_WIDTHS = (10, 100, 300, 1000)
SHORT = {  # row of the short table: the systems of which the fastest is shown
    "original's loop": ["original"],
    "PyTorch, its fastest form": ["modules", "vmap", "compile"],
    "JAX": ["jax", "jax-folded"],
    "bnstudy": ["ours"],
    "hand-written C++": ["handwritten"],
}


def machine(load_before: float | None) -> dict:
    """Hardware and versions. `load_before`: processes that ran when the measurement began."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
        "load_before": load_before,
        "versions": versions,
    }


def speed_table(speed: pd.DataFrame, missing: pd.DataFrame, machine: dict) -> str:
    """Markdown: milliseconds per model-epoch, times slower than bnstudy; one column per width."""
    main = _main_replicates(speed)
    widths = sorted(speed.width.unique())
    lines = [_what(speed, machine)]
    for arm in ARMS:
        header = [LABELS[arm], *(f"width {width}" for width in widths)]
        lines += ["", _line(header), _line(["---"] * len(header))]
        for name, system in SYSTEMS.items():
            rows = _curve(speed, arm, name)
            absent = missing[(missing.system == name) & (missing.arm == arm)]
            if len(rows):
                cells = [_cell(rows, width, name) for width in widths]
                lines.append(_line([system.label, *cells]))
            elif len(absent):
                reason = f"not available: {absent.reason.iloc[0]}"
                lines.append(_line([system.label, reason, *[""] * (len(widths) - 1)]))
    others = speed[(speed.replicates != main) & speed.system.map(_batched)]
    if len(others):
        lines += ["", "The same for other numbers of replicates:"]
        cells = list(others[["width", "replicates"]].drop_duplicates().itertuples(index=False))
        for arm in ARMS:
            heads = (f"width {c.width} × {c.replicates}" for c in cells)
            header = [LABELS[arm], *heads]
            lines += ["", _line(header), _line(["---"] * len(header))]
            for name in others.system.unique():
                rows = others[(others.arm == arm) & (others.system == name)]
                found = (
                    rows[(rows.width == c.width) & (rows.replicates == c.replicates)] for c in cells
                )
                if len(rows):
                    texts = (_text(r.iloc[0], name) if len(r) else "–" for r in found)
                    lines.append(_line([SYSTEMS[name].label, *texts]))
    return "\n".join(lines) + "\n"


def short_table(speed: pd.DataFrame, machine: dict) -> str:
    """Markdown: the same with BN in a few lines, of alternatives the fastest at each width."""
    widths = [width for width in SHORT_WIDTHS if width in set(speed.width)]
    header = [LABELS["batch"], *(f"width {width}" for width in widths)]
    lines = [_what(speed, machine), "", _line(header), _line(["---"] * len(header))]
    for label, names in SHORT.items():
        rows = pd.concat([_curve(speed, "batch", name) for name in names])
        if len(rows):
            fastest = rows.sort_values("ms").drop_duplicates("width")
            lines.append(_line([label, *(_cell(fastest, width, names[0]) for width in widths)]))
    return "\n".join(lines) + "\n"


def targets_table(
    speed: pd.DataFrame, scaling: pd.DataFrame, variants: pd.DataFrame, machine: dict
) -> str:
    """Markdown: target, what was measured (median, quartiles), whether it is met."""
    rows = [_line(["target", "measured (quartiles)", ""]), _line(["---"] * 3)]
    targets = [*_speed_targets(speed), *_variant_targets(variants), *_scaling_targets(scaling)]
    rows += [_verdict(*target) for target in targets]
    load, cores = machine["load_before"], machine["cores"]
    if load is not None:
        rows += [
            "",
            f"Processes running before the measurement (load): {load:.1f}, on {cores} cores.",
        ]
        if load > 0.5:
            rows[-1] += " Not a quiet machine: judge nothing by these numbers."
    return "\n".join(rows) + "\n"


def draw(speed: pd.DataFrame) -> Figure:
    """Cost of a model-epoch against width, one line per system, one panel per arm."""
    figure, axes = subplots(1, 2, sharey=True, figsize=(6.6, 3.6))
    widths = sorted(speed.width.unique())
    for panel, arm in zip(axes, ARMS, strict=True):
        ends = {}
        for name in SYSTEMS:
            rows = _curve(speed, arm, name)
            if not len(rows):
                continue
            colour, line = SYSTEMS[name].colour, SYSTEMS[name].line
            panel.plot(
                rows.width, rows.ms, marker="o", markersize=2.5, color=colour, linestyle=line
            )
            panel.fill_between(
                rows.width, rows.ms_low, rows.ms_high, alpha=0.2, linewidth=0, color=colour
            )
            ends[name] = rows.ms.iloc[-1]
        panel.set(xscale="log", yscale="log", xlabel="width (hidden units)", title=LABELS[arm])
        plain_log_ticks(panel.xaxis, widths)
        if len(widths) > 1:
            panel.set_xlim(widths[0] / 1.2, widths[-1] * 1.15)
        for name, height in _apart(ends, 0.05 * _decades(speed)).items():
            panel.annotate(
                SYSTEMS[name].label,
                (1.0, height),
                xycoords=panel.get_yaxis_transform(),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=SYSTEMS[name].colour,
                annotation_clip=False,
            )
    low, high = np.log10(speed.ms.min()), np.log10(speed.ms.max())
    ticks = [10.0**k for k in range(int(np.floor(low)), int(np.ceil(high)) + 1)]
    axes[0].set_ylim(10 ** (low - 0.15), 10 ** (high + 0.25))
    plain_log_ticks(axes[0].yaxis, ticks)
    axes[0].set_ylabel("ms per model-epoch")
    return figure


def _apart(heights: dict[str, float], gap: float) -> dict[str, float]:
    """`heights` moved as little as a pass upwards and one back needs for `gap` decades between."""
    names = sorted(heights, key=heights.get)
    logs = np.log10([heights[name] for name in names])
    ladder = gap * np.arange(len(logs))
    up = np.maximum.accumulate(logs - ladder) + ladder
    down = np.minimum.accumulate((logs - ladder)[::-1])[::-1] + ladder
    return dict(zip(names, 10 ** ((up + down) / 2), strict=True))


def _decades(speed: pd.DataFrame) -> float:
    return float(np.log10(speed.ms.max() / speed.ms.min())) + 0.4


def _main_replicates(speed: pd.DataFrame) -> int:
    """The number of replicates that was measured first, at all widths."""
    return int(speed.replicates.iloc[0])


def _batched(name: str) -> bool:
    return SYSTEMS[name].batched


def _curve(speed: pd.DataFrame, arm: str, name: str) -> pd.DataFrame:
    """A system's rows at the main number of replicates, by width."""
    wanted = (speed.arm == arm) & (speed.system == name)
    return speed[wanted & (speed.replicates == _main_replicates(speed))].sort_values("width")


def _what(speed: pd.DataFrame, machine: dict) -> str:
    """What the tables show."""
    return (
        f"Milliseconds per model-epoch (train step and test), {_main_replicates(speed)} "
        f"replicates, one core of {machine['processor']} ({machine['vector_instructions']}); "
        "medians. In brackets: times as slow as bnstudy."
    )


def _cell(rows: pd.DataFrame, width: int, name: str) -> str:
    row = rows[rows.width == width]
    return _text(row.iloc[0], name) if len(row) else "–"


def _text(row: pd.Series, name: str) -> str:
    milliseconds = f"{row.ms:.3g}"
    bare = name == "ours" or not np.isfinite(row.times_ours)
    return f"**{milliseconds}**" if bare else f"{milliseconds} ({_two_digits(row.times_ours)}×)"


def _two_digits(value: float) -> str:
    """At least two significant digits, never an exponent: 0.43, 5.2, 13, 257."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _speed_targets(speed: pd.DataFrame):
    """(text, value, low, high, at most or at least, bound) each."""
    main = _main_replicates(speed)
    row = speed[speed.replicates == main].set_index(["system", "arm", "width"])
    for arm in ("batch", "none"):
        for width, bound in OVER_HANDWRITTEN.items():
            if ("handwritten", arm, width) in row.index:
                ratios = _inverse(row.loc["handwritten", arm, width], "times_ours", "times")
                text = f"width {width} {LABELS[arm]}: over the hand-written loop"
                yield f"{text}, ≤ {bound:g} ×", *ratios, "≤", bound
    for width, peer, bounds in TARGETS:
        for arm, bound in bounds.items():
            if (peer, arm, width) in row.index:
                r = row.loc[peer, arm, width]
                text = f"width {width} {LABELS[arm]}: {SYSTEMS[peer].label} slower by"
                ratios = r.times_ours, r.times_low, r.times_high
                yield f"{text} ≥ {bound:g} ×", *ratios, "≥", bound
    for arm in ("batch", "none"):
        if {("ours", arm, 300), ("ours", arm, 1000)} <= set(row.index):
            wide, reference = row.loc["ours", arm, 1000], row.loc["ours", arm, 300]
            ratios = (wide[c] / reference.ms * 0.3 for c in ("ms", "ms_low", "ms_high"))
            text = f"width 1000 {LABELS[arm]}: cost per unit over that at 300, ≤ 1.15 ×"
            yield text, *ratios, "≤", 1.15


def _variant_targets(variants: pd.DataFrame):
    rows = variants.set_index("variant")
    for name, (bound, remark) in VARIANT_TARGETS.items():
        if name in rows.index:
            r = rows.loc[name]
            text = f"width {r.width} {name}: an epoch over one of {r.baseline}"
            yield f"{text}, ≤ {bound:g} ×{remark}", r.ratio, r.ratio_low, r.ratio_high, "≤", bound
    peers = rows[(rows.baseline == LAYER_NORM) & (rows.index != LAYER_NORM)]
    if len(peers):
        best = peers.loc[peers.ms.idxmin()]
        text = f"width {best.width} {LAYER_NORM}: over the best PyTorch form, {best.name}"
        ratios = _inverse(best, "ratio", "ratio")
        yield f"{text}, ≤ {OVER_BEST_PYTORCH:g} ×", *ratios, "≤", OVER_BEST_PYTORCH


def _inverse(row: pd.Series, median: str, quartiles: str) -> tuple[float, float, float]:
    """Median and quartiles of the inverse."""
    return 1 / row[median], 1 / row[f"{quartiles}_high"], 1 / row[f"{quartiles}_low"]


def _scaling_targets(scaling: pd.DataFrame):
    for r in scaling.itertuples():
        values = r.value, r.low, r.high
        place = f"width {r.width:g} {LABELS[r.arm]}" if pd.notna(r.width) else ""
        match r.quantity.split():
            case ["slope", *_]:
                yield f"{place}: {r.quantity}, 1 ± 0.1", *values, "±", 1.0
            case ["two", "jobs", *_]:
                yield f"{place}: two jobs on two cores, ≥ 1.8 × one", *values, "≥", 1.8
            case ["peak", "memory"]:
                text = f"{place}, {r.detail}: peak memory, ≤ 700 MB"
                yield text, *values, "≤", 700
            case ["kernel,", "cold"]:
                yield "kernel compiled, once a machine, < 5 s", *values, "≤", 5


def _verdict(text: str, value: float, low: float, high: float, sense: str, bound: float) -> str:
    kept = {"≤": value <= bound, "≥": value >= bound, "±": abs(value - bound) <= 0.1}
    met = kept[sense]
    spread = f" ({low:.3g} to {high:.3g})" if low != high else ""
    if sense == "±":
        missed = f"missed by {abs(value - bound) - 0.1:.2g}, {'above' if value > 1 else 'below'}"
    else:
        missed = f"missed by {100 * abs(value / bound - 1):.0f} %"
    return _line([text, f"{value:.3g}{spread}", "met" if met else f"**{missed}**"])
