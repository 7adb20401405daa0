"""The model hub from here: token, cache, network, telemetry. No token is shown.

Asked by the worker process (`hub_worker`). No network is never a failure: models may lie on this machine already.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.doctor import versions
from engine.doctor.finding import Finding
from engine.doctor.storage import disk_space, write_fault
from engine.doctor.trying import reason_of
from engine.host import existing_parent
from engine.units import GIB

LOG_IN = "hf auth login"
HUB_CACHE_BYTES = 1 * GIB


def hub(facts: dict[str, Any]) -> Iterator[Finding]:
    """What the worker's task `hub` came to."""
    if reason := reason_of(facts):
        found = f"huggingface_hub does not work: {reason}"
        mend = versions.reinstall("huggingface_hub")
        yield Finding("model hub", "fail", found, "Install it anew, as tested.", mend)
        return
    yield network(facts)
    yield token(facts)
    yield from hub_cache(Path(facts["cache"]).expanduser())
    if facts["telemetry_off"]:
        yield Finding("telemetry", "ok", "off")
    else:
        mend = "export HF_HUB_DISABLE_TELEMETRY=1"
        yield Finding("telemetry", "warn", "libraries may send usage data", "Switch it off.", mend)


def network(facts: dict[str, Any]) -> Finding:
    """Whether the hub can be reached, and if not, what is in the way."""
    where = facts["endpoint"]
    if facts["offline"]:
        return Finding("model hub", "ok", f"offline: {where} was not asked", "What is in the cache can be used.")
    proxies = "".join(f", by the {scheme} proxy {proxy}" for scheme, proxy in sorted(facts["proxies"].items()))
    if facts["reached"] == "yes":
        return Finding("model hub", "ok", f"{where} answers{proxies}")
    found = f"{where} does not answer ({facts['reached']}){proxies}"
    if "certificate" in facts["reached"]:
        remedy = "A proxy puts its own certificate in: name the file that holds it."
        return Finding("model hub", "warn", found, remedy, "export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt")
    if facts["proxies"]:
        return Finding("model hub", "warn", found, "See whether the proxy does:", f"curl -I {shlex.quote(where)}")
    remedy = "Models that are on this machine, and the demo, work all the same. To ask nobody:"
    return Finding("model hub", "warn", found, remedy, "export HF_HUB_OFFLINE=1")


def token(facts: dict[str, Any]) -> Finding:
    """Whether there is a token, whether it looks like one, and whether the hub knows it."""
    place = "in HF_TOKEN" if facts["token_source"] == "HF_TOKEN" else "stored"
    if facts["token"] == "none":
        return Finding("hub token", "ok", "none; only gated and private models need one", "For those:", LOG_IN)
    if facts["login"] == "refused":
        mend = f"unset HF_TOKEN; {LOG_IN}" if facts["token_source"] == "HF_TOKEN" else f"{LOG_IN} --force"
        return Finding("hub token", "warn", f"a token is {place}, and the hub refuses it", "Log in anew.", mend)
    if facts["token"] == "odd":
        found = f"a token is {place}, but does not look like one (hf_ and 34 letters)"
        mend = f"unset HF_TOKEN; {LOG_IN}" if facts["token_source"] == "HF_TOKEN" else f"{LOG_IN} --force"
        return Finding("hub token", "warn", found, "It may be cut short, or hold quotes.", mend)
    known = f", of {facts['login']}" if facts["login"] else ""
    return Finding("hub token", "ok", f"a token is {place}{known}")


def hub_cache(place: Path) -> Iterator[Finding]:
    """The hub's cache: whether it can be written, and its room."""
    existing = existing_parent(place)
    if fault := write_fault(existing):
        found = f"{existing} cannot be written: {fault}"
        yield Finding(
            "hub cache", "fail", found, "Name another place for models.", "export HF_HOME=/var/tmp/huggingface"
        )
        return
    space = disk_space("hub cache", existing, HUB_CACHE_BYTES)
    yield Finding("hub cache", space.status, f"{place}: {space.found}", space.remedy, space.command)
