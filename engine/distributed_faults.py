"""Faults in what a recipe says about several devices and hosts: of the recipe alone, and on one machine.

Each is (field of the section, what is wrong, what to do). Not here: what a plan makes of it (`ranks.planning`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator

from engine.gpu import Gpu
from engine.hardware import Hardware
from engine.recipe_sections import DistributedSection

Fault = tuple[str, str, str]
MOST_ON_A_CORE = 4
"""Processes that a core may be shared by, to rehearse several devices on a CPU; more is a slip."""

ENDPOINT = re.compile(r"(?:(?P<host>\w+(?:[.-]+\w+)*)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\]):(?P<port>\d{1,5})", re.ASCII)
"""HOST:PORT; an IPv6 address stands in brackets."""


def equal_cards(hardware: Hardware, count: int) -> tuple[Gpu, ...]:
    """The visible cards that can train together: those of one kind and size, the one with the most free memory first.

    Of several kinds that there are `count` of, the one with the most memory; of none so many, the largest likewise.
    """
    kinds: dict[tuple[object, ...], list[Gpu]] = {}
    for gpu in hardware.gpus:
        kinds.setdefault((gpu.name, gpu.total_bytes, gpu.compute_capability), []).append(gpu)
    enough = [cards for cards in kinds.values() if len(cards) >= count] or list(kinds.values())
    best = max(enough, key=lambda cards: (cards[0].total_bytes, len(cards)), default=[])
    return tuple(sorted(best, key=lambda gpu: -gpu.free_bytes))


def num_processes(wanted: DistributedSection, hardware: Hardware) -> int:
    """Processes on this host: what is asked for, or with auto every visible card of the same kind (on a CPU one)."""
    if wanted.nproc_per_node != "auto":
        return int(wanted.nproc_per_node)
    return max(1, len(equal_cards(hardware, 1)))


def is_endpoint(text: str) -> bool:
    """Whether it is HOST:PORT as it is written; nobody is asked whether there is such a host."""
    found = ENDPOINT.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        return False
    if found["ipv6"]:
        with contextlib.suppress(ValueError):
            return bool(ipaddress.IPv6Address(found["ipv6"]))
        return False
    return ".." not in found["host"] and max(map(len, found["host"].split("."))) < 64


def distributed_faults(wanted: DistributedSection, optim: str) -> Iterator[Fault]:
    """Contradictions that no machine could solve. `optim` is the recipe's optimizer."""
    if wanted.strategy == "zero3":
        happened = "names DeepSpeed's ZeRO-3, which this version of finetui does not drive."
        file = " and unset distributed.deepspeed" if wanted.deepspeed is not None else ""
        yield "strategy", happened, f'Set strategy = "fsdp2", which divides the same on cards and CPUs{file}.'
    if wanted.strategy == "fsdp2" and "8bit" in optim:
        happened = f'"{wanted.strategy}" spreads parameters out, and {optim} cannot update a part of one.'
        yield "strategy", happened, 'Set training.optim = "adamw_torch_fused", or strategy = "ddp".'
    alone = wanted.nproc_per_node == 1 and wanted.nnodes == 1
    if alone and wanted.strategy != "auto":
        happened = f'"{wanted.strategy}" shares the work among processes, and there is one.'
        yield "strategy", happened, 'Set distributed.nproc_per_node = "auto", or strategy = "auto".'
    if wanted.nnodes > 1 and wanted.rdzv_endpoint is None:
        happened = f"is missing: {wanted.nnodes} hosts must know where to find the first."
        yield "rdzv_endpoint", happened, 'Write it as "10.0.0.1:29500": an address of the first host, a free port.'
    if wanted.nnodes == 1 and wanted.rdzv_endpoint is not None:
        yield "rdzv_endpoint", "means nothing on one host.", "Unset it, or set distributed.nnodes."
    if wanted.nnodes == 1 and wanted.rdzv_backend == "static":
        yield "rdzv_backend", "means nothing on one host.", "Unset it, or set distributed.nnodes."
    if wanted.rdzv_endpoint is not None and not is_endpoint(wanted.rdzv_endpoint):
        happened = f"is no HOST:PORT (given: {wanted.rdzv_endpoint!r:.80})."
        yield "rdzv_endpoint", happened, 'Write it as "10.0.0.1:29500".'
    if wanted.deepspeed is not None and wanted.strategy != "zero3":
        happened = f'has no effect with strategy = "{wanted.strategy}".'
        yield "deepspeed", happened, 'Unset it; strategy = "fsdp2" divides what ZeRO-3 does, and needs no file.'


def machine_faults(wanted: DistributedSection, hardware: Hardware, accumulation: int = 1) -> Iterator[Fault]:
    """What this machine cannot do of it. `accumulation` is the recipe's, which fewer processes would have to raise."""
    count = num_processes(wanted, hardware)
    if hardware.gpus:
        yield from _card_faults(hardware, count, accumulation)
        return
    if count > MOST_ON_A_CORE * hardware.num_cores:
        cores = f"{hardware.num_cores} usable cores" if hardware.num_cores > 1 else "1 usable core"
        happened = f"asks for {count} processes, and here are {cores}."
        yield "nproc_per_node", happened, _fewer(count, hardware.num_cores, accumulation)


def _card_faults(hardware: Hardware, count: int, accumulation: int) -> Iterator[Fault]:
    total, alike = len(hardware.gpus), len(equal_cards(hardware, count))
    here = "is 1 card" if total == 1 else f"are {total} cards"
    if count > total:
        happened = f"asks for {count} cards, and here {here}."
        yield "nproc_per_node", happened, _fewer(count, len(equal_cards(hardware, 1)), accumulation)
    elif count > alike:
        happened = f"asks for {count} cards of the same kind, and of the {total} here {alike} are alike."
        yield "nproc_per_node", happened, _fewer(count, len(equal_cards(hardware, 1)), accumulation)


def _fewer(count: int, there_are: int, accumulation: int) -> str:
    """What to set for as many processes as there can be, with the same effective batch size."""
    fits = max(number for number in range(1, there_are + 1) if count * accumulation % number == 0)
    steps = count * accumulation // fits
    sets = f"--set distributed.nproc_per_node={fits} --set training.gradient_accumulation_steps={steps}"
    alone = " --set distributed.strategy=auto" if fits == 1 else ""
    return f"The same effective batch size: {sets}{alone}"
