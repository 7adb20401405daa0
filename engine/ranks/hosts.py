"""Several hosts in one attempt: the call that the run's supervisor leaves for the others, and where all meet.

The run folder lies where every host reaches it by the same path. The supervisor of the first host is the run's only
owner: it writes `ranks/attempt-N/call.json` before it starts its own processes and removes it after they ended. Not
here: what the other hosts do with it (`member`).
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from engine.errors import RunDirError
from engine.library_versions import step_versions
from engine.ranks.launching import Meeting
from engine.recipe_sections import DistributedSection
from engine.run_dir import RunDir, read_json, write_atomic

CALL = "call.json"
ENDPOINT_VARIABLE = "FINETUI_RDZV_ENDPOINT"
"""Instead of the recipe's endpoint: a scheduler's job goes on with its run on other hosts than it began on."""


@dataclass(frozen=True, slots=True)
class Call:
    """What another host needs to take part in an attempt."""

    attempt: int
    run_id: str
    """What torchrun calls this attempt: another one for each, so that nobody meets those of an earlier one."""
    plan_file: str
    rdzv_backend: str
    rdzv_endpoint: str
    versions: tuple[tuple[str, str], ...]
    """Of the libraries that decide how a step runs: hosts with others would not train the same."""


def call_others(run: RunDir, number: int, wanted: DistributedSection) -> Meeting:
    """Leave the call for attempt `number`; how this host, the first, takes part itself.

    Raises RunDirError where the recipe's endpoint is no address of this host that others could reach.
    """
    endpoint = os.environ.get(ENDPOINT_VARIABLE) or wanted.rdzv_endpoint
    assert endpoint is not None
    address = own_address(endpoint)
    run_id = f"{run.name}-attempt-{number}-{uuid.uuid4().hex[:8]}"
    plan_file = run.newest_plan_file().name
    call = Call(number, run_id, plan_file, wanted.rdzv_backend, endpoint, step_versions())
    forget_calls(run)
    run.beats(number).mkdir(parents=True, exist_ok=True)
    write_atomic(run.beats(number) / CALL, json.dumps(asdict(call)))
    return Meeting(
        rdzv_backend=wanted.rdzv_backend,
        rdzv_endpoint=endpoint,
        local_addr=address,
        interface=interface_of(address),
        run_id=run_id,
    )


def forget_calls(run: RunDir) -> None:
    """Nobody is called any more: the attempt ended, or its supervisor did."""
    for path in (run.path / "ranks").glob(f"attempt-*/{CALL}"):
        path.unlink(missing_ok=True)


def present_call(run: RunDir) -> Call | None:
    """The call that stands now, if any."""
    for path in sorted((run.path / "ranks").glob(f"attempt-*/{CALL}")):
        with contextlib.suppress(RunDirError, TypeError, KeyError, ValueError):
            raw = read_json(path)
            return Call(**raw | {"versions": tuple((str(name), str(version)) for name, version in raw["versions"])})
    return None


def own_address(endpoint: str) -> str:
    """The address of this host that an endpoint HOST:PORT names.

    Raises RunDirError for a name that is not found, is another host's, or means this host to everybody (loopback).
    """
    address = address_of(endpoint)
    if ipaddress.ip_address(address).is_loopback:
        raise RunDirError(
            f"distributed.rdzv_endpoint = {endpoint!r} is {address}, which every host takes for itself.",
            means="The other hosts would look for the first one on themselves.",
            remedy="Write an address of this host that the others reach, as in 10.0.0.1:29500 (`ip addr` lists them).",
        )
    if not interface_of(address):
        raise RunDirError(
            f"distributed.rdzv_endpoint = {endpoint!r} is {address}, and this host has no such address.",
            means="The run is started on the first host, where the others meet it.",
            remedy="Start it there, or name an address of this host (`ip addr` lists them).",
        )
    return address


def address_of(endpoint: str) -> str:
    """The IP address of an endpoint HOST:PORT. Raises RunDirError where its name is not found."""
    host, _, port = endpoint.rpartition(":")
    host = host.strip("[]")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError) as fault:  # ValueError: no such port, or a name that cannot be one
        raise RunDirError(
            f"distributed.rdzv_endpoint = {endpoint!r}: the host is not found "
            f"({getattr(fault, 'strerror', None) or fault}).",
            means="The hosts cannot meet.",
            remedy="Write the first host's IP address.",
        ) from fault
    return str(found[0][4][0])


def address_towards(endpoint: str) -> str:
    """The address of this host that the endpoint is reached from. Raises RunDirError where there is no way to it."""
    address, port = address_of(endpoint), int(endpoint.rpartition(":")[2])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:  # sends nothing: it asks the routing table
        try:
            probe.connect((address, port))
        except OSError as fault:
            raise RunDirError(
                f"There is no way from this host to {endpoint}: {fault.strerror}.",
                means="It cannot take part in the run.",
                remedy="Look at the network between the hosts, or name the address to use: --address.",
            ) from fault
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The network interface that has an address; empty where none has."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == address for each in addresses):
            return name
    return ""


def missing_here(run: RunDir) -> str:
    """The base model's folder where this host does not have it; empty where it does."""
    folder = Path(str(read_json(run.model)["folder"]))
    return "" if (folder / "config.json").exists() else str(folder)
