"""The export's worker, within one process: in order, told, up to date, stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import requests
from engine.checkpoints import MANIFEST, sealed_files
from engine.errors import RecipeError, RunDirError, StoppedError
from engine.events import ArtifactExported, ExportProgressed, RunFinished, WarningRaised
from engine.exporters import all_exporters, in_order, worker
from engine.exporters.placing import staged
from engine.liveness import ProcessIdentity
from engine.run_dir import write_atomic
from tests.engine.evaluation.conftest import Rig
from tests.runs.conftest import Workshop

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def export(made: Rig, **settings: object) -> list[ArtifactExported]:
    request = requests.add(made.run, "export", "Export", {"rows": 2, **settings})
    assert worker.export(made.run, made.writer(), request.number) == 0
    return [event for event in made.events() if isinstance(event, ArtifactExported)]


def test_the_kinds_of_a_request_are_made_in_order_and_each_is_told_when_it_is_in_place(
    rig: Callable[..., Rig],
) -> None:
    made = rig()
    events = export(made, to=["merged", "adapter"])
    assert [event.artifact for event in events] == ["merged", "adapter"]
    assert all((made.run.path / event.path).is_dir() for event in events)


def test_asked_again_it_says_that_all_is_there_and_writes_nothing(rig: Callable[..., Rig]) -> None:
    made = rig()
    export(made, to=["merged"])
    weights = made.run.exports / "merged" / "model.safetensors"
    before = weights.stat()
    events = export(made, to=["merged"])
    assert len(events) == 2
    assert weights.stat() == before
    told = [event.doing for event in made.events() if isinstance(event, ExportProgressed)]
    assert told[-1] == "is there already and up to date"


def test_artifacts_go_to_the_folder_that_was_named(rig: Callable[..., Rig], tmp_path: Path) -> None:
    (event,) = export(rig(), to=["merged"], output=str(tmp_path / "out"))
    assert event.path == str(tmp_path / "out" / "merged")
    assert (tmp_path / "out" / "merged" / "config.json").exists()


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(rig: Callable[..., Rig]) -> None:
    with pytest.raises(RecipeError, match="no export 'mergd'") as caught:
        export(rig(), to=["mergd"])
    assert "merged" in caught.value.remedy


def test_a_run_that_only_scored_has_nothing_to_export(rig: Callable[..., Rig]) -> None:
    made = rig()
    write_atomic(made.run.manifest, '{"kind": "evaluation"}')
    with pytest.raises(RunDirError, match="scored a model as it is"):
        export(made, to=["merged"])


def test_weights_that_are_not_as_training_wrote_them_are_not_exported(rig: Callable[..., Rig]) -> None:
    made = rig()
    weights = made.run.adapter / "adapter_model.safetensors"
    files = f'{{"files": {{"{weights.name}": {{"bytes": 1, "sha256": "0"}}}}}}'
    write_atomic(made.run.adapter / "finetui-checkpoint.json", files)
    with pytest.raises(RunDirError, match="not as training wrote them"):
        export(made, to=["merged"])


def test_a_stop_leaves_nothing_half_made(rig: Callable[..., Rig]) -> None:
    made = rig()
    before = signal.signal(signal.SIGTERM, worker._stop)
    try:
        with pytest.raises(StoppedError), staged(made.run.exports, "merged", {}):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(made.run.exports.iterdir()) == []


def test_what_a_kind_needs_is_made_before_it() -> None:
    for name, each in all_exporters().items():
        order = in_order([name])
        assert order[-1] == name
        assert all(order.index(needed) < order.index(name) for needed in each.NEEDS)


@pytest.mark.slow(seconds=12)
@pytest.mark.usefixtures("own_machine")
def test_a_request_of_a_finished_run_survives_the_kill_of_its_worker(rig: Callable[..., Rig]) -> None:
    made = finished(rig())
    request = requests.ask(made.run, "export", "Export to merged", {"to": ["merged"], "rows": 2})
    Workshop.wait_for(made.run, lambda event: isinstance(event, ExportProgressed))
    worker_process = ProcessIdentity.read(made.run.worker)
    assert worker_process is not None
    os.kill(worker_process.pid, signal.SIGKILL)
    Workshop.wait_for(made.run, lambda event: isinstance(event, RunFinished))
    seen = made.events()
    assert [event.artifact for event in seen if isinstance(event, ArtifactExported)] == ["merged"]
    assert any("Starting it again" in event.text for event in seen if isinstance(event, WarningRaised))
    assert (made.run.requests / f"{request.number}.done").read_text() == "done\n"
    assert [path.name for path in made.run.exports.iterdir()] == ["merged"]


def finished(made: Rig) -> Rig:
    """The run with the marks that its stages leave, so that nothing but the request is to be done."""
    write_atomic(made.run.adapter / MANIFEST, json.dumps({"files": sealed_files(made.run.adapter)}))
    write_atomic(made.run.manifest, json.dumps({"rows": {}}))
    write_atomic(made.run.answers / "done.json", "{}")
    return made
