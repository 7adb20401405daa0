"""Run folders: made once each, found again by name, and never holding half a file."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RunDirError
from engine.run_dir import RunDir, cache_dir, finetui_home, list_runs, read_json, write_atomic

CREATE_MANY = """
import sys
from pathlib import Path
from engine.run_dir import RunDir
sys.stdin.readline()
for _ in range(20):
    print(RunDir.create(Path(sys.argv[1]), "demo").name)
"""
WRITE_WITHOUT_END = """
import sys
from pathlib import Path
from engine.run_dir import write_atomic
path = Path(sys.argv[1])
for n in range(10**9):
    write_atomic(path, f"{n % 10}" * 200_000)
    print("written", flush=True)
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_names_count_up_for_each_recipe_and_fill_no_gap(tmp_path: Path) -> None:
    names = [RunDir.create(tmp_path, name).name for name in ("demo", "demo", "other", "demo")]
    assert names == ["demo-1", "demo-2", "other-1", "demo-3"]
    (tmp_path / "demo-9").mkdir()
    (tmp_path / "demo-x").mkdir()
    assert RunDir.create(tmp_path, "demo").name == "demo-10"


@pytest.mark.parametrize(
    ("given", "name"), [("My Recipe.v2", "my-recipe-v2-1"), ("../../etc", "etc-1"), ("漢字", "run-1"), ("", "run-1")]
)
def test_a_name_becomes_one_that_every_shell_takes(tmp_path: Path, given: str, name: str) -> None:
    run = RunDir.create(tmp_path, given)
    assert (run.name, run.path.parent) == (name, tmp_path)


def test_two_processes_that_create_at_once_never_share_a_folder(tmp_path: Path) -> None:
    makers = [python(CREATE_MANY, str(tmp_path)) for _ in range(2)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    names = [name for maker in makers for name in maker.communicate()[0].split()]
    assert len(names) == 40
    assert sorted(names) == sorted(f"demo-{n}" for n in range(1, 41))


def test_a_run_and_all_in_it_belong_to_its_owner_alone(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "runs", "demo")
    folders = [tmp_path / "runs", run.path, *(path for path in run.path.iterdir() if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    write_atomic(run.recipe, "x")
    assert run.recipe.stat().st_mode & 0o777 == 0o600


def test_a_run_of_a_very_long_title_has_a_name_that_can_be_typed(tmp_path: Path) -> None:
    assert [len(RunDir.create(tmp_path, "x" * 300).name) for _ in range(2)] == [92, 92]


def test_a_place_where_no_folder_can_be_made_is_an_error_that_names_another_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root, name in ((tmp_path / "file", "demo"), (Path("/proc/runs"), "demo")):
        with pytest.raises(RunDirError, match="No run folder can be made") as told:
            RunDir.create(root, name)
        assert "FINETUI_HOME" in told.value.remedy


def test_a_run_is_found_by_name_and_by_path(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir.create(own_machine / "runs", "demo")
    monkeypatch.chdir(own_machine)
    for reference in ("demo-1", "demo-1/", str(run.path), "runs/demo-1", "./runs/demo-1"):
        assert RunDir.open(reference) == run


@pytest.mark.parametrize("reference", ["demo-11", "dmo-1", "Demo"])
def test_a_run_that_is_not_there_is_answered_with_near_ones(own_machine: Path, reference: str) -> None:
    RunDir.create(own_machine / "runs", "demo")
    with pytest.raises(RunDirError, match="There is no run") as told:
        RunDir.open(reference)
    assert told.value.remedy == "Did you mean demo-1?"
    assert told.value.exit_code == 9


@pytest.mark.parametrize("reference", ["", "..", "/", "x" * 5000, "nul\0byte", "\udcff", "/proc/1/cwd/x"])
def test_a_reference_that_can_be_no_run_is_refused_like_any_other(reference: str) -> None:
    with pytest.raises(RunDirError, match="There is no run"):
        RunDir.open(reference)


def test_runs_are_listed_the_latest_last(own_machine: Path) -> None:
    assert list_runs() == []
    runs = [RunDir.create(own_machine / "runs", name) for name in ("b", "a", "c")]
    for age, run in zip((30, 10, 20), runs, strict=True):
        os.utime(run.events, (1e9 - age, 1e9 - age))
    (own_machine / "runs" / "no-run").mkdir()
    assert [run.name for run in list_runs()] == ["b-1", "c-1", "a-1"]


def test_the_home_and_the_cache_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable, folder in (("FINETUI_HOME", finetui_home), ("FINETUI_CACHE", cache_dir)):
        monkeypatch.setenv(variable, str(tmp_path))
        assert folder() == tmp_path
        monkeypatch.delenv(variable)
        assert folder().name == "finetui"
        assert folder().is_relative_to(os.environ["HOME"])


def test_the_highest_plan_and_the_next_attempt_are_counted_as_numbers(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "demo")
    assert run.next_attempt() == 1
    with pytest.raises(RunDirError, match="holds no plan"):
        run.latest_plan_number()
    for number in (1, 9, 10):
        run.plan(number).touch()
        run.event_file(f"attempt-{number}").touch()
    (run.path / "plan-99.json.bak").touch()
    run.event_file("attempt-x").touch()
    assert (run.latest_plan_number(), run.next_attempt()) == (10, 11)


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "plan-1.json"
    for num_writes in (1, 1, 2, 3, 5, 1, 8, 2):
        writer = python(WRITE_WITHOUT_END, str(path))
        assert writer.stdout is not None
        for _ in range(num_writes):
            writer.stdout.readline()
        writer.kill()
        writer.communicate()
        text = path.read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1


@pytest.mark.parametrize("text", ["lone \udcff surrogate", "fine"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    if text == "fine":
        path.mkdir()  # nothing can be renamed over a folder
        with pytest.raises(RunDirError, match="cannot be written") as told:
            write_atomic(path, text)
        assert told.value.means == "Nothing that was there before is damaged."
    else:
        path.write_text("old")
        with pytest.raises(UnicodeEncodeError):
            write_atomic(path, text)
        assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.json"]


def test_writing_into_a_folder_that_is_gone_is_an_error_of_the_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match="cannot be written"):
        write_atomic(tmp_path / "gone" / "x.json", "{}")


def test_text_is_written_as_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from engine.run_dir import write_atomic, read_json\n"
    code += "write_atomic(Path(sys.argv[1]), '[\"\\u6f22\"]'); assert read_json(Path(sys.argv[1])) == ['\\u6f22']"
    path = tmp_path / "x.json"
    environment = os.environ | {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-P", "-c", code, str(path)], check=True, env=environment)
    assert path.read_bytes() == '["漢"]'.encode()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00"])
def test_a_broken_json_file_is_an_error_that_says_how_to_go_on(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan-1.json"
    path.write_bytes(content)
    with pytest.raises(RunDirError, match="cannot be read") as told:
        read_json(path)
    assert "finetui replay" in told.value.remedy
    with pytest.raises(RunDirError):
        read_json(tmp_path / "missing.json")


def test_what_names_a_run_in_a_command_is_one_word_of_the_shell_whatever_its_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "my runs $(touch x)"
    run = RunDir.create(folder, "demo")
    assert shlex.split(f"finetui resume {run.typed}") == ["finetui", "resume", str(run.path)]
