"""The figures as a page of Markdown, and which promises they break.

Not here: measuring.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from statistics import median

from benchmarks.throughput_contenders.events_cost import EventsCost
from benchmarks.throughput_contenders.measuring import Bench, Measured
from engine.hardware import read_hardware
from engine.units import format_bytes

MOST_OVERHEAD = 1.03
LEAST_OVER = {"cpu": {"trl-default": 3.0}, "cuda": {"trl-default": 1.5, "unsloth": 1.0}}
LEAST_OVER_BEST = 1.2
"""Over the best configuration of each peer, on a CPU."""
MOST_LOSS_DIFFERENCE = 0.005
SAME_STEPS = ("bare", "bare-plain", "trl-default")
"""Those that take the very same rows in each step, so that a lower loss would be as suspect as a higher one."""
MOST_EVENTS_SHARE = 0.01
HEADER = (
    "| contender | real tokens/s | per CPU-second | of the limit | cost / finetui's: median (min-max) | time ratio "
    "| peak | first step | held-out loss |"
)
STACK = ("torch", "transformers", "trl", "peft", "accelerate")


def heading(cores: list[int]) -> str:
    """When, on what machine, under which load, with which versions, by which command."""
    hardware = read_hardware()
    device = hardware.best_gpu.name if hardware.best_gpu else hardware.cpu_name
    flags = [each for each in ("amx_bf16", "avx512_bf16") if each in hardware.cpu_flags]
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in STACK)
    able = ", ".join(flags) or "no bf16 instructions"
    return (
        f"# Throughput, {time.strftime('%Y-%m-%d %H:%M')}\n\n"
        f"Device: {device} ({able}); cores {cores} of {hardware.num_cores}; load average at the start {load}.\n"
        f"Versions: Python {sys.version.split()[0]}, {versions}.\n"
        f"Command: `python {' '.join(sys.argv)}`."
    )


def page(bench: Bench, measured: list[Measured], rate: float, cost: EventsCost | None) -> tuple[str, list[str]]:
    """(the page of one shape, the promises that it breaks)."""
    device = read_hardware().device_kind
    by_name: dict[str, list[Measured]] = {}
    for each in measured:
        by_name.setdefault(each.contender, []).append(each)
    present = {name: found for name, found in by_name.items() if not found[0].fault}
    lines = [f"\n## Rows: {bench.shape}\n", about(bench, rate), "", *table(bench, present, rate, device)]
    lines += [f"\n- {name} is absent: {found[-1].fault}" for name, found in by_name.items() if found[-1].fault]
    verdicts = judged(bench, present, device)
    if cost is not None and "finetui" in present:
        step = median(each.seconds for each in present["finetui"]) / bench.job.steps
        share = cost.seconds(step) / step
        lines.append(f"\nEvents of a step: {cost.words()}; {share:.3%} of a step of {step:.2f} s.")
        verdicts.append((f"events, callbacks and readers take {share:.3%} of a step", share <= MOST_EVENTS_SHARE))
    lines += ["", *(f"- {'kept' if kept else 'BROKEN'}: {words}" for words, kept in verdicts)]
    return "\n".join(lines), [f"{bench.shape}: {words}" for words, kept in verdicts if not kept]


def progress(each: Measured) -> str:
    """One measurement in a line."""
    if each.fault:
        return f"{each.contender}: {each.fault}"
    rates = f"{each.tokens / each.seconds:.0f} tokens/s, {each.tokens / each.cpu:.1f} per CPU-second"
    return f"{each.contender}: {each.tokens} tokens, {rates}, first step after {each.first_step:.1f} s"


def about(bench: Bench, rate: float) -> str:
    """What the rows, the steps and the limit are."""
    job = bench.job
    return (
        f"{job.batch_size} rows a step, {bench.mean_length:.0f} tokens on average, at most {job.max_length}; padded to "
        f"the longest of a batch {bench.real_share:.0%} would be real. Packs: {job.packs_per_step} of "
        f"{job.pack_length} a step. {job.warmup} steps of warm-up, {job.steps} measured. LoRA r = {job.r} on every "
        f"linear layer, {bench.useful_flop / 1e6:.0f} MFLOP useful per token; bf16 matrix products "
        f"{rate / 1e9:.0f} GFLOP/s."
    )


def table(bench: Bench, present: dict[str, list[Measured]], rate: float, device: str) -> list[str]:
    """One line for each contender; ratios are its cost over finetui's of the same turn."""
    lines = [HEADER, "|---" * HEADER.count(" | ") + "|---|"]
    for name, found in present.items():
        rates = [each.tokens / each.seconds for each in found]
        ratios, times = (_ratios(found, present.get("finetui", []), kind) for kind in (device, "cuda"))
        losses = [each.held_out for each in found if each.held_out is not None]
        cells = (
            name,
            f"{median(rates):.0f}",
            f"{median(each.tokens / each.cpu for each in found):.1f}",
            f"{median(rates) * bench.useful_flop / rate:.0%}",
            f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "-",
            f"{median(times):.2f}" if times else "-",
            format_bytes(max(each.peak_bytes for each in found)),
            f"{median(each.first_step for each in found):.1f} s",
            f"{losses[0]:.4f}" if losses else "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def judged(bench: Bench, present: dict[str, list[Measured]], device: str) -> list[tuple[str, bool]]:
    """(what was found, whether it is as promised). The gain over others is promised for mixed rows only."""
    own = present.get("finetui", [])
    verdicts: list[tuple[str, bool]] = []
    for name, found in present.items():
        ratios = _ratios(found, own, device)
        if name == "finetui" or not ratios:
            continue
        ratio = median(ratios)
        if name == "bare":
            verdicts.append((f"overhead over the bare loop {1 / ratio - 1:+.1%}", 1 / ratio <= MOST_OVERHEAD))
        least = LEAST_OVER[device].get(name, LEAST_OVER_BEST if device == "cpu" and name.endswith("-best") else 0.0)
        if least and bench.shape == "mixed":
            verdicts.append((f"{ratio:.2f} times {name}, promised {least}", ratio >= least))
        theirs, ours = found[0].held_out, own[0].held_out
        if theirs is not None and ours is not None:
            worse = ours / theirs - 1
            apart = abs(worse) if name in SAME_STEPS else worse
            verdicts.append((f"held-out loss {worse:+.2%} against {name}", apart <= MOST_LOSS_DIFFERENCE))
    return verdicts


def _ratios(found: list[Measured], own: list[Measured], device: str) -> list[float]:
    """Cost per real token over finetui's of the same turn: CPU-seconds on a CPU, time on a card."""
    ours = {each.turn: _cost(each, device) for each in own}
    return [_cost(each, device) / ours[each.turn] for each in found if each.turn in ours and not each.fault]


def _cost(each: Measured, device: str) -> float:
    return (each.cpu if device == "cpu" else each.seconds) / each.tokens
