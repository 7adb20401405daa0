"""The machine in a few lines: cards with what they can do and why not, memory, disk, processor.

Pure: lines from `Hardware`. Not here: reading it (`engine/hardware`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.units import format_bytes
from tui_app.drawing import Line, fit_line, line, literal, padded, wrap
from tui_app.glyphs import UNICODE, Glyphs

if TYPE_CHECKING:
    from engine.gpu import Ability, Gpu
    from engine.hardware import Hardware

NAME_WIDTH = 26


def hardware_lines(hardware: Hardware, width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """Cards first, the one that a run would use marked; then RAM, disk and processor."""
    told: list[Line] = []
    best = hardware.best_gpu
    for gpu in hardware.gpus:
        told += _card(gpu, width, glyphs, is_best=gpu is best)
    if not hardware.gpus:
        told += wrap(literal(hardware.gpu_note) or "No NVIDIA card was found: runs use the CPU.", width - 1, indent=2)
        told += wrap("On a CPU small models train in minutes, large ones in days.", width - 1, "dim")
    elif hardware.gpu_note:
        told += wrap(literal(hardware.gpu_note), width - 1, "dim", indent=2)
    told.append(_machine(hardware, width))
    if not hardware.gpus:
        told += _abilities((("bf16", hardware.bf16), ("4-bit", hardware.four_bit)), width, glyphs)
    if hardware.ram_limit_note:
        told += wrap(literal(hardware.ram_limit_note), width - 1, "dim", indent=2)
    return [fit_line(each, width, ellipsis=glyphs.ellipsis) for each in told]


def _machine(hardware: Hardware, width: int) -> Line:
    free = f"{format_bytes(hardware.ram_available_bytes)} of {format_bytes(hardware.ram_total_bytes)} free"
    told = line(
        ("RAM ", "dim"),
        free,
        ("   disk ", "dim"),
        f"{format_bytes(hardware.disk_free_bytes)} free",
        ("   cores ", "dim"),
        str(hardware.num_cores),
        (f"   {literal(hardware.cpu_name)}", "dim"),
    )
    return fit_line(told, width)


def _card(gpu: Gpu, width: int, glyphs: Glyphs, *, is_best: bool) -> list[Line]:
    abilities = (("bf16", gpu.bf16), ("4-bit", gpu.four_bit), ("flash", gpu.flash_attention))
    head = line(
        (f"{glyphs.pointer if is_best else ' '} ", "key"),
        (padded(f"GPU {gpu.index}  {literal(gpu.name)}", NAME_WIDTH + 6), "strong" if is_best else ""),
        f" {format_bytes(gpu.total_bytes)}, ",
        (f"{format_bytes(gpu.free_bytes)} free", "good"),
        (f"   driver {literal(gpu.driver)}" if gpu.driver else "", "dim"),
    )
    told = [head]
    told += [(*line("    "), *each) for each in _abilities(abilities, width - 4, glyphs)]
    for problem in gpu.problems:
        told += [(*line("    "), *each) for each in wrap(literal(problem), width - 4, "warn")]
    used = [each for each in gpu.processes if each.used_bytes]
    if used:
        names = ", ".join(
            f"{literal(each.name or str(each.pid))} {format_bytes(each.used_bytes or 0)}" for each in used
        )
        told.append(line((f"    in use by others: {names}", "warn")))
    return told


def _abilities(abilities: tuple[tuple[str, Ability], ...], width: int, glyphs: Glyphs) -> list[Line]:
    """`bf16 ✓  4-bit ✓` on one line, then what lacks, each with its reason."""
    there = [line(f"{name} ", (glyphs.done, "good"), "   ") for name, each in abilities if each.available]
    told = [tuple(span for part in there for span in part)] if there else []
    for name, each in abilities:
        if not each.available:
            text = f"{name} {glyphs.impossible}  {literal(each.reason)}"
            told += wrap(text, width, "warn", indent=2)
    return told
