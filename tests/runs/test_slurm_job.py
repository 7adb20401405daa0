"""A recipe exported for Slurm, carried out by a real Slurm on this machine: queued, interrupted, gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoints, control
from engine.events import CommandAcknowledged, RunFinished, RunStopped
from engine.run_dir import RunDir
from tests.engine.jobs import slurm_cluster
from tests.engine.jobs.slurm_cluster import Cluster, until

pytestmark = [
    pytest.mark.slow(seconds=40),
    pytest.mark.skipif(bool(why := slurm_cluster.missing()), reason=f"no Slurm can be brought up: {why}"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def exported(workshop: Any, name: str) -> Path:
    """The tiny recipe as a job that wants no card; its script."""
    settings = ("--gpus", "0", "--cpus", "1", "--run-root", str(workshop.home / "runs"), "--name", name, "-o", name)
    done = workshop.finetui("export", "tiny.toml", "--to", "slurm", *settings)
    assert done.returncode == 0, done.stderr
    return workshop.folder / name / "job.sbatch"


def hold(workshop: Any, run: RunDir, *, after_step: int) -> None:
    """Pause the run at a step, so that it is not over before the scheduler interrupts it."""
    workshop.wait_for_step(run, after_step)
    sent = control.send(run, "pause").command_id
    workshop.wait_for(run, lambda event: isinstance(event, CommandAcknowledged) and event.command_id == sent)


def test_a_job_saves_near_its_limit_goes_on_when_requeued_and_after_a_cancel_to_the_result_of_one_that_was_left_alone(
    workshop: Any, straight: RunDir, slurm: Cluster
) -> None:
    script = exported(workshop, "job")
    job = slurm.command("sbatch", "--parsable", str(script)).strip()
    folder = workshop.home / "runs" / f"job-{job}-1"
    until((folder / "manifest.json").exists, f"job {job} makes its run")
    run = RunDir(folder)
    hold(workshop, run, after_step=1)
    slurm.command("scancel", "--batch", "--signal=USR1", job)  # what Slurm sends --grace seconds before the limit
    first = workshop.wait_for(run, lambda event: isinstance(event, RunStopped))
    assert first.step in checkpoints.steps(run.checkpoints)

    slurm.wait_for_state(job, "PENDING")
    slurm.begin_at_once(job)
    hold(workshop, run, after_step=first.step + 1)
    assert slurm.job(job)["Restarts"] == "1"
    slurm.command("scancel", job)
    second = workshop.wait_for(run, lambda event: isinstance(event, RunStopped) and event.step > first.step)
    assert second.step in checkpoints.steps(run.checkpoints)

    going_on = f"--export=ALL,FINETUI_RUN={run.path}"
    again = slurm.command("sbatch", "--parsable", going_on, str(script)).strip()
    assert slurm.wait_for_state(again, "COMPLETED", "FAILED")["ExitCode"] == "0:0"
    assert workshop.wait_for(run, lambda event: isinstance(event, RunFinished))
    assert workshop.losses(run) == workshop.losses(straight)
    assert workshop.adapter_bytes(run) == workshop.adapter_bytes(straight)
    assert "queued again" in (slurm.folder / f"job-{job}.out").read_text()


def test_a_job_that_cannot_begin_fails_with_the_exit_code_of_finetui(workshop: Any, slurm: Cluster) -> None:
    script = exported(workshop, "broken")
    recipe = script.with_name("recipe.toml")
    recipe.write_text(recipe.read_text().replace("rows.jsonl", "gone.jsonl"))
    job = slurm.command("sbatch", "--parsable", str(script)).strip()
    assert slurm.wait_for_state(job, "COMPLETED", "FAILED")["ExitCode"] == "3:0"
    assert "gone.jsonl" in (slurm.folder / f"broken-{job}.out").read_text()
