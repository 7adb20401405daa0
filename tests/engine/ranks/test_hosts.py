"""Several hosts: the call that one leaves for the others, and what keeps them from meeting."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import psutil
import pytest

from engine.errors import RunDirError
from engine.event_log import EventWriter
from engine.events import RunFinished
from engine.ranks import hosts
from engine.ranks.member import Member
from engine.recipe import Recipe
from engine.recipe_sections import DistributedSection
from engine.run_dir import RunDir

TWO = {"nnodes": 2, "rdzv_endpoint": "10.0.0.1:29500"}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir.create(tmp_path, "spread")
    made.plan(1).write_text("{}")
    return made


def address_here() -> str:
    """An IPv4 address of this machine that others could reach."""
    found = [
        each.address
        for name, all_of in psutil.net_if_addrs().items()
        for each in all_of
        if each.family == socket.AF_INET and name != "lo"
    ]
    if not found:
        pytest.skip("this machine has no network but its own loopback")
    return found[0]


def two_hosts(endpoint: str) -> DistributedSection:
    return DistributedSection(nnodes=2, rdzv_endpoint=endpoint)


def test_the_call_of_an_attempt_names_it_anew_each_time_and_only_the_newest_stands(run: RunDir) -> None:
    wanted = two_hosts(f"{address_here()}:29500")
    first = hosts.call_others(run, 1, wanted)
    again = hosts.call_others(run, 2, wanted)
    call = hosts.present_call(run)
    assert call is not None
    assert (call.attempt, call.run_id, call.plan_file) == (2, again.run_id, "plan-1.json")
    assert first.run_id != again.run_id
    hosts.forget_calls(run)
    assert hosts.present_call(run) is None


def test_the_first_host_meets_the_others_at_its_own_address_and_network(run: RunDir) -> None:
    address = address_here()
    meeting = hosts.call_others(run, 1, two_hosts(f"{address}:29500"))
    assert (meeting.local_addr, meeting.is_host) == (address, True)
    assert meeting.interface in psutil.net_if_addrs()


def test_a_damaged_call_is_nobodys_call(run: RunDir) -> None:
    folder = run.beats(1)
    folder.mkdir(parents=True)
    for text in ("", "{", "[]", "3", json.dumps({"attempt": 1}), json.dumps({"versions": [1]})):
        (folder / hosts.CALL).write_text(text)
        assert hosts.present_call(run) is None


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("127.0.0.1:29500", "every host takes for itself"),
        ("localhost:29500", "every host takes for itself"),
        ("192.0.2.1:29500", "this host has no such address"),
    ],
)
def test_an_endpoint_that_the_others_could_not_reach_is_refused_with_what_to_write(endpoint: str, said: str) -> None:
    with pytest.raises(RunDirError, match=said) as refused:
        hosts.own_address(endpoint)
    assert refused.value.remedy


def test_a_host_does_not_wait_for_a_run_that_will_never_call_it(run: RunDir) -> None:
    given = {"model": {"name_or_path": "m/m"}, "data": {"dataset": "o/r"}}
    run.recipe.write_text(Recipe.from_values(given).to_toml())
    with pytest.raises(RunDirError, match="trains on one host"):
        Member(run, print).follow()
    run.recipe.write_text(Recipe.from_values(given | {"distributed": TWO}).to_toml())
    with pytest.raises(RunDirError, match=r"no address '203\.0\.113\.7'"):
        Member(run, print, address="203.0.113.7").follow()
    EventWriter(run.event_file("supervisor")).write(RunFinished(seconds=1.0))
    said: list[str] = []
    assert Member(run, said.append).follow() == 0
    assert said[-1] == "run spread-1 is finished"
