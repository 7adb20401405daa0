"""What is started for an attempt: one process as ever, or torchrun with its ranks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.hardware import read_hardware
from engine.plan import Plan, plan
from engine.ranks.launching import Meeting, attempt_command, rank_environment
from engine.recipe import Recipe
from engine.run_dir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "tiny-1")


@pytest.fixture
def alone() -> Plan:
    """The plan of a CPU's one process."""
    hardware = replace(read_hardware(), gpus=())
    return plan(Recipe.model_validate({"model": {"name_or_path": "m"}, "data": {"dataset": "d"}}), hardware, None)


def spread(alone: Plan, **changes: Any) -> Plan:
    return replace(alone, **changes)


def test_a_lone_process_is_started_without_torchrun(run: RunDir, alone: Plan) -> None:
    command = attempt_command(run, 3, alone)
    assert command[-5:] == ["engine.worker_start", "engine.training.attempt", str(run.path), str(os.getpid()), "3"]
    assert rank_environment(alone) == {}
    assert not any("agent" in word for word in command)


def test_two_ranks_of_one_host_meet_where_nobody_else_reaches_them(run: RunDir, alone: Plan) -> None:
    plan = spread(alone, nproc_per_node=2, strategy="ddp", num_threads=3)
    command = attempt_command(run, 3, plan)
    told = command[command.index("engine.training.agent") + 1 :]
    assert told[:2] == [str(os.getpid()), str(run.beats(3))]
    joined = " ".join(told)
    assert "--nnodes 1 --nproc-per-node 2 --max-restarts 0 --rdzv-id tiny-1-attempt-3 --local-addr 127.0.0.1" in joined
    assert "--rdzv-endpoint" not in joined  # the agent opens one on the loopback address
    assert joined.endswith(f"-m engine.worker_start engine.training.attempt {run.path} 0 3")
    environment = rank_environment(plan)
    assert environment["OMP_NUM_THREADS"] == os.environ.get("OMP_NUM_THREADS", "3")
    assert environment["GLOO_SOCKET_IFNAME"] == "lo"


def test_ranks_on_cards_see_these_cards_and_no_other(alone: Plan) -> None:
    plan = spread(alone, nproc_per_node=2, strategy="ddp", device="cuda:0", device_uuids=("GPU-a", "GPU-b"))
    assert rank_environment(plan)["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"


def test_hosts_meet_at_the_first_ones_address_by_either_way(run: RunDir, alone: Plan) -> None:
    plan = spread(alone, nproc_per_node=2, nnodes=2, strategy="ddp")
    first = Meeting(rdzv_endpoint="10.0.0.1:29500", local_addr="10.0.0.1", interface="eth1", run_id="one-name")
    joined = " ".join(attempt_command(run, 1, plan, first))
    assert "--rdzv-backend c10d --rdzv-endpoint 10.0.0.1:29500 --rdzv-conf is_host=1" in joined
    assert "--rdzv-id one-name --local-addr 10.0.0.1" in joined
    assert rank_environment(plan, first)["NCCL_SOCKET_IFNAME"] == "eth1"
    second = replace(first, rdzv_backend="static", node_rank=1, local_addr="10.0.0.2", is_host=False)
    joined = " ".join(attempt_command(run, 1, plan, second))
    assert "--rdzv-backend static --node-rank 1 --master-addr 10.0.0.1 --master-port 29500" in joined
