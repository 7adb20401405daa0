"""The curves of a run as SVG and PNG: loss, memory, throughput. The same record gives the same bytes.

matplotlib draws them, loaded only here and only when called. Not here: what the curves mean (`sections`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from engine.report.facts import Facts
from engine.units import GIB

INK = "#1c2431"
"""Axes and words; on a page it becomes the page's own colour."""
BLUE, ORANGE, GREEN, RED, GREY = "#3b82c4", "#d9822b", "#2e9e6b", "#d0453a", "#8a95a3"
EMA_WEIGHT = 0.9
MOST_POINTS = 1500
SIZE_INCHES = (8.0, 3.4)
PNG_DPI = 160
MARKS = {"checkpoint": ("|", GREY), "oom": ("x", RED), "rung": ("v", ORANGE), "resumed": (">", GREEN)}


@dataclass(frozen=True, slots=True)
class Curve:
    """One drawn figure."""

    name: str
    svg: str
    png: bytes


def curves(facts: Facts) -> list[Curve]:
    """Those that the run has numbers for."""
    found = []
    if len(facts.trace):
        found.append(_drawn("loss", lambda axes: _loss(axes, facts)))
    if facts.plans:
        found.append(_drawn("memory", lambda axes: _memory(axes, facts)))
    if len(facts.trace.samples) > 1:
        found.append(_drawn("device", lambda axes: _device(axes, facts)))
    if len(facts.trace) > 1:
        found.append(_drawn("throughput", lambda axes: _throughput(axes, facts)))
    return found


def _drawn(name: str, draw: Callable[[Any], None]) -> Curve:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _settings(name):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.grid(visible=True, alpha=0.25, color=GREY)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        draw(axes)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=8, loc="best")
        vector, pixels = io.StringIO(), io.BytesIO()
        figure.savefig(vector, format="svg", transparent=True, metadata={"Date": None, "Creator": "finetui"})
        figure.savefig(pixels, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": "finetui"})
    return Curve(name, vector.getvalue(), pixels.getvalue())


@contextmanager
def _settings(name: str) -> Iterator[None]:
    import matplotlib as mpl

    colours = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    fixed = {"svg.hashsalt": f"finetui-{name}", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 9}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({**colours, **fixed})
        yield


def _loss(axes: Any, facts: Facts) -> None:
    trace = facts.trace
    steps, losses = _thinned(trace.steps, trace.losses)
    axes.plot(steps, losses, color=BLUE, alpha=0.5, linewidth=1, label="train loss of a step")
    steps, smooth = _thinned(trace.steps, ema(trace.losses))
    axes.plot(steps, smooth, color=BLUE, linewidth=1.8, label="its moving average")
    if trace.evals:
        axes.plot(*zip(*trace.evals, strict=True), color=ORANGE, marker="o", markersize=4, label="eval loss")
    spikes = [spike for spike in facts.state.spikes if math.isfinite(spike.loss)]
    if spikes:
        axes.plot([s.step for s in spikes], [s.loss for s in spikes], "o", color=RED, mfc="none", label="stands out")
    for kind, (marker, colour) in MARKS.items():
        at = [mark.step for mark in trace.marks if mark.kind == kind]
        if at:
            axes.plot(at, [0.02] * len(at), marker, color=colour, transform=axes.get_xaxis_transform(), label=kind)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss, nats per trained token")
    axes.set_ylim(bottom=0)


def ema(losses: Sequence[float]) -> list[float]:
    """Exponential moving average, corrected for its start; what is no number leaves it as it was."""
    smooth, weight, found = 0.0, 0.0, []
    for loss in losses:
        if math.isfinite(loss):
            smooth = EMA_WEIGHT * smooth + (1 - EMA_WEIGHT) * loss
            weight = EMA_WEIGHT * weight + (1 - EMA_WEIGHT)
        found.append(smooth / weight if weight else math.nan)
    return found


def _memory(axes: Any, facts: Facts) -> None:
    bars = (("predicted", GREY), ("probed", ORANGE), ("peak", BLUE))
    for offset, (name, colour) in enumerate(bars):
        values = [(at, getattr(plan, f"{name}_bytes")) for at, plan in enumerate(facts.plans)]
        known = [(at + (offset - 1) * 0.26, size / GIB) for at, size in values if size]
        if known:
            axes.bar(*zip(*known, strict=True), width=0.24, color=colour, label=name)
    capacities = {plan.capacity_bytes for plan in facts.plans if plan.capacity_bytes}
    largest = max((plan.largest_bytes for plan in facts.plans), default=0)
    if len(capacities) == 1 and (capacity := capacities.pop()) < 4 * largest:
        axes.axhline(capacity / GIB, color=RED, linestyle="--", linewidth=1, label="may be used")
    axes.set_xticks(range(len(facts.plans)), [f"plan {plan.number}" for plan in facts.plans])
    axes.set_xlim(min(-0.6, len(facts.plans) / 2 - 2), max(len(facts.plans) - 0.4, len(facts.plans) / 2 + 1))
    axes.set_ylabel("allocated, GiB")


def _device(axes: Any, facts: Facts) -> None:
    samples = list(facts.trace.samples)
    start = samples[0][0]
    minutes = [(time - start) / 60 for time, _ in samples]
    is_cpu = samples[-1][1].device == "cpu"
    used = [sample.device_used_bytes / GIB for _, sample in samples]
    own = [math.nan if sample.own_bytes is None else sample.own_bytes / GIB for _, sample in samples]
    axes.plot(*_thinned(minutes, used), color=GREY, label="RAM in use" if is_cpu else "device used")
    axes.plot(*_thinned(minutes, own), color=BLUE, label="by this run")
    axes.set_xlabel("minutes")
    axes.set_ylabel("GiB")
    axes.set_ylim(bottom=0)


def _throughput(axes: Any, facts: Facts) -> None:
    trace = facts.trace
    rates = [
        tokens / seconds if seconds > 0 else math.nan
        for tokens, seconds in zip(trace.num_tokens, trace.step_seconds, strict=True)
    ]
    axes.plot(*_thinned(trace.steps, rates), color=GREEN, alpha=0.5, linewidth=1, label="tokens/s of a step")
    axes.plot(*_thinned(trace.steps, ema(rates)), color=GREEN, linewidth=1.8, label="its moving average")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("tokens per second")
    axes.set_ylim(bottom=0)


def _thinned(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most so many points: of each stretch, the lowest and the highest, so that no peak is lost."""
    if len(xs) <= MOST_POINTS:
        return list(xs), list(ys)
    stretch = math.ceil(2 * len(xs) / MOST_POINTS)
    kept: list[int] = []
    for start in range(0, len(xs), stretch):
        span = [i for i in range(start, min(start + stretch, len(xs))) if math.isfinite(ys[i])]
        kept += sorted({min(span, key=ys.__getitem__), max(span, key=ys.__getitem__)}) if span else [start]
    return [xs[i] for i in kept], [ys[i] for i in kept]
