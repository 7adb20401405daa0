"""What this process may use: RAM, address space, open files, cores, and what the processor can do."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from engine.doctor.finding import Finding
from engine.hardware import Hardware
from engine.units import GIB, format_bytes

RAM_COMFORTABLE_BYTES = 4 * GIB
"""The demo peaks at 3.0 GiB."""
FILES_NEEDED = 1024


def limits(hardware: Hardware) -> Iterator[Finding]:
    """RAM with the control group's limit, limits of this shell, processor."""
    yield ram(hardware)
    yield open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield from address_space(resource.getrlimit(resource.RLIMIT_AS)[0])
    yield processor(hardware)


def ram(hardware: Hardware) -> Finding:
    found = f"{format_bytes(hardware.ram_available_bytes)} of {format_bytes(hardware.ram_total_bytes)} available"
    found = f"{found}. {hardware.ram_limit_note}".removesuffix(". ")
    if hardware.ram_available_bytes >= RAM_COMFORTABLE_BYTES:
        return Finding("RAM", "ok", found)
    return Finding("RAM", "warn", found, "The demo needs 3 GiB. See what uses it:", "ps aux --sort=-rss | head")


def open_files(soft: int, hard: int) -> Finding:
    """`soft` and `hard` are limits of open files; -1 is none."""
    if soft == resource.RLIM_INFINITY or soft >= FILES_NEEDED:
        return Finding("open files", "ok", "no limit" if soft == resource.RLIM_INFINITY else f"{soft:,} at once")
    found = f"{soft:,} at once: too few for workers of the data loader"
    if hard == resource.RLIM_INFINITY or hard > soft:
        wanted = FILES_NEEDED * 4 if hard == resource.RLIM_INFINITY else min(hard, FILES_NEEDED * 4)
        return Finding("open files", "warn", found, "Raise the limit in this shell.", f"ulimit -n {wanted}")
    return Finding("open files", "warn", found, "Ask an administrator to raise it (/etc/security/limits.conf).")


def address_space(soft: int) -> Iterator[Finding]:
    """A limit of virtual memory, which CUDA and memory-mapped weights exceed long before RAM is short."""
    if soft != resource.RLIM_INFINITY:
        found = f"{format_bytes(soft)}: weights are mapped and CUDA reserves far more than it uses"
        yield Finding("address space", "warn", found, "Lift the limit in this shell.", "ulimit -v unlimited")


def processor(hardware: Hardware) -> Finding:
    cores = "1 core" if hardware.num_cores == 1 else f"{hardware.num_cores} cores"
    found = f"{hardware.cpu_name}, {cores} for this process"
    if hardware.gpus or hardware.four_bit.available:
        return Finding("processor", "ok", found)
    return Finding("processor", "warn", f"{found}. {hardware.four_bit.reason}", "Choose lora instead of qlora here.")
