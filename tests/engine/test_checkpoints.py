"""Checkpoints: whole and unchanged, or passed over with the reason told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import checkpoints
from engine.checkpoints import MANIFEST, STAGING, Progress, newest, prune, seal
from engine.errors import RunDirError

KEY = {"method": "lora", "r": 16, "target_modules": ["q_proj", "v_proj"]}
SEAL_WITHOUT_END = """
import sys
from pathlib import Path
from engine.checkpoints import STAGING, Progress, prune, seal
folder = Path(sys.argv[1])
for step in range(1, 10**6):
    staged = folder / STAGING / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    for name in (*Progress().required, "adapter_model.safetensors"):
        (staged / name).write_bytes(name.encode() * 20_000)
    seal(staged, folder, step, {})
    prune(folder, 2)
    print(step, flush=True)
"""


REQUIRED = Progress().required


def staged(folder: Path, step: int) -> Path:
    """What a trainer leaves below staging/: the required files, weights, and one in a folder of its own."""
    path = folder / STAGING / f"checkpoint-{step}"
    (path / "nested").mkdir(parents=True)
    for name in (*REQUIRED, "adapter_model.safetensors", "nested/part.json"):
        (path / name).write_bytes(f"{name} of step {step}".encode() * 50)
    return path


def sealed(folder: Path, *steps: int) -> list[Path]:
    return [seal(staged(folder, step), folder, step, KEY).path for step in steps]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_sealed_checkpoint_is_the_newest_and_whole(tmp_path: Path) -> None:
    sealed(tmp_path, 2, 4, 10)
    found, passed_over = newest(tmp_path, KEY)
    assert found is not None
    assert (found.path.name, found.step, passed_over) == ("checkpoint-10", 10, [])
    assert found.num_bytes > 0
    assert (found.path / "nested" / "part.json").is_file()
    assert newest(tmp_path / "nothing", KEY) == (None, [])


@pytest.mark.parametrize("name", REQUIRED)
def test_a_folder_without_what_resuming_needs_is_never_made_visible(tmp_path: Path, name: str) -> None:
    path = staged(tmp_path, 5)
    (path / name).unlink()
    with pytest.raises(RunDirError, match=f"step 5 lacks {name}") as told:
        seal(path, tmp_path, 5, KEY)
    assert "would differ from an uninterrupted one" in told.value.means
    assert names(tmp_path) == [STAGING]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change(path: Path) -> None:
    path.write_bytes(b"X" + path.read_bytes()[1:])


def garble(path: Path) -> None:
    path.write_text("{")


def forget(name: str) -> Callable[[Path], None]:
    def without(manifest: Path) -> None:
        values = json.loads(manifest.read_text())
        del values["files"][name]
        manifest.write_text(json.dumps(values))

    return without


def rewrite(**changes: object) -> Callable[[Path], None]:
    def changed(manifest: Path) -> None:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))

    return changed


UNREADABLE = "its file list is missing or unreadable"


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("optimizer.pt", Path.unlink, "optimizer.pt is missing"),
        ("nested/part.json", Path.unlink, "nested/part.json is missing"),
        ("adapter_model.safetensors", cut, "adapter_model.safetensors is not as it was written"),
        ("rng_state.pth", change, "rng_state.pth is not as it was written"),
        (MANIFEST, Path.unlink, UNREADABLE),
        (MANIFEST, garble, UNREADABLE),
        (MANIFEST, rewrite(files=[]), UNREADABLE),
        (MANIFEST, rewrite(files={"optimizer.pt": "x"}), UNREADABLE),
        (MANIFEST, forget("optimizer.pt"), "optimizer.pt is missing"),
        (MANIFEST, rewrite(key={"r": 8}), "it was made under a plan of another shape"),
        (MANIFEST, rewrite(step=7), "it is step 7 under another name"),
    ],
)
def test_a_spoiled_checkpoint_is_passed_over_with_the_reason_and_an_older_one_is_taken(
    tmp_path: Path, name: str, spoil: Callable[[Path], None], reason: str
) -> None:
    _, latest = sealed(tmp_path, 4, 8)
    spoil(latest / name)
    found, passed_over = newest(tmp_path, KEY)
    assert found is not None
    assert found.step == 4
    assert passed_over == [f"checkpoint-8: {reason}"]


def test_where_all_are_spoiled_none_is_chosen_and_each_reason_is_told(tmp_path: Path) -> None:
    for path in sealed(tmp_path, 4, 8):
        cut(path / "optimizer.pt")
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-9").write_text("no folder")
    found, passed_over = newest(tmp_path, KEY)
    assert found is None
    assert [reason.partition(":")[0] for reason in passed_over] == [
        "checkpoint-9",
        "checkpoint-8",
        "checkpoint-4",
        "checkpoint-x",
    ]


def test_what_lies_in_staging_is_never_chosen(tmp_path: Path) -> None:
    sealed(tmp_path, 4)
    half = staged(tmp_path, 8)
    shutil.copy(tmp_path / "checkpoint-4" / MANIFEST, half / MANIFEST)
    found, _ = newest(tmp_path, KEY)
    assert found is not None
    assert found.step == 4


def test_only_the_newest_few_are_kept_and_staging_goes(tmp_path: Path) -> None:
    sealed(tmp_path, 2, 4, 10, 6 + 6)
    staged(tmp_path, 14)
    prune(tmp_path, 2)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-12"]


def test_sealing_a_step_again_replaces_it(tmp_path: Path) -> None:
    (first,) = sealed(tmp_path, 4)
    cut(first / "optimizer.pt")
    again = seal(staged(tmp_path, 4), tmp_path, 4, KEY)
    assert newest(tmp_path, KEY) == (again, [])


def test_checkpoints_that_a_later_attempt_overtook_do_not_push_out_its_own(tmp_path: Path) -> None:
    """After a rung that changes the adapter, training starts again below the steps of the old plan."""
    sealed(tmp_path, 30, 60)
    narrower = KEY | {"r": 8}
    assert newest(tmp_path, narrower)[0] is None
    seal(staged(tmp_path, 10), tmp_path, 10, narrower)
    prune(tmp_path, 1)
    assert names(tmp_path) == ["checkpoint-10"]
    found, _ = newest(tmp_path, narrower)
    assert found is not None


def test_a_trainer_killed_at_any_moment_leaves_a_whole_newest_checkpoint(tmp_path: Path) -> None:
    for steps in (1, 2, 3, 5, 8):
        folder = tmp_path / str(steps)
        folder.mkdir()
        trainer = subprocess.Popen(
            [sys.executable, "-P", "-c", SEAL_WITHOUT_END, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert trainer.stdout is not None
        for _ in range(steps):
            trainer.stdout.readline()
        trainer.kill()
        rest = trainer.communicate()[0].split()
        found, passed_over = newest(folder, {})
        assert found is not None
        assert found.step >= int(rest[-1] if rest else steps)
        assert passed_over == []


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checkpoints.sha256_of(tmp_path / "x") == expected


def test_a_checkpoint_of_two_ranks_needs_the_random_states_of_both(tmp_path: Path) -> None:
    progress = Progress(num_ranks=2)
    path = staged(tmp_path, 5)
    (path / "rng_state.pth").rename(path / "rng_state_0.pth")
    with pytest.raises(RunDirError, match=r"lacks rng_state_1\.pth"):
        seal(path, tmp_path, 5, KEY, progress)
    gone = Progress(num_ranks=2, without=("rng_state_1.pth",))  # its rank was gone: said, and told again on resuming
    assert seal(path, tmp_path, 5, KEY, gone).progress == gone
    found, passed_over = newest(tmp_path, KEY)
    assert found is not None
    assert (found.progress, passed_over) == (gone, [])
    (found.path / "rng_state_0.pth").unlink()
    assert newest(tmp_path, KEY) == (None, ["checkpoint-5: rng_state_0.pth is missing"])
