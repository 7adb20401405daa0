"""`finetui export`: what is asked, what is refused, and what is shown of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RecipeError
from engine.event_log import EventWriter
from engine.events import ArtifactExported, RequestStarted
from engine.recipe import Recipe
from engine.run_dir import RunDir
from tui_app.command_modules import carry_out
from tui_app.result_commands import export

RECIPE = Recipe.from_values({"model": {"name_or_path": "some/model"}, "data": {"dataset": "rows.jsonl"}})


def settings(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    export.add(parser)
    return export.settings_of(parser.parse_args(["RUN", *words]), RECIPE)


def test_the_words_of_the_command_are_the_settings_of_the_request(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = settings("--to", "merged,adapter", "--rows", "5", "-o", "out", "--force")
    assert (found["to"], found["rows"], found["force"]) == (["merged", "adapter"], 5, True)
    assert found["output"] == str(tmp_path / "out")
    assert (found["device"], found["quantizations"], found["push"]) == ("cpu", [], False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "mergd"], "Did you mean merged?"),
        (["--to", ","], "It takes adapter"),
        (["--to", "merged", "--push"], "Leave --push out"),
        (["--to", "merged", "--quantization", "Q8_0"], "Leave --quantization out"),
        (["--to", "merged", "--imatrix"], "Leave --imatrix out"),
        (["--to", "hub"], "--repo me/my-model"),
        (["--to", "hub", "--repo", "nobody"], "owner/name"),
        (["--to", "hub", "--repo", "me/model", "--what", "mergd"], "Did you mean merged?"),
        (["--to", "merged", "--rows", "0"], "Choose a number of rows"),
        (["--to", "merged", "--device", "tpu"], "cuda:1"),
    ],
)
def test_nonsense_is_refused_with_what_to_type_instead(words: list[str], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        settings(*words)
    assert told in caught.value.remedy


def test_the_kinds_are_listed_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out("export", ["--list"]) == 0
    assert "merged" in capsys.readouterr().out
    assert carry_out("export", ["--list", "--json"]) == 0
    assert "hub" in json.loads(capsys.readouterr().out)


def test_without_a_run_or_a_kind_it_says_what_to_type() -> None:
    with pytest.raises(RecipeError) as caught:
        carry_out("export", ["demo-cpu-1"])
    assert "--to gguf" in caught.value.remedy


def test_a_run_that_does_not_exist_is_refused(own_machine: Path) -> None:  # noqa: ARG001
    from engine.errors import RunDirError

    with pytest.raises(RunDirError, match="There is no run 'nothing'"):
        carry_out("export", ["nothing", "--to", "merged"])


def test_an_artifact_of_a_request_is_a_line_of_the_table_and_older_ones_are_not(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "demo")
    writer = EventWriter(run.event_file("export"))
    for number, name in ((1, "merged"), (2, "gguf-Q8_0")):
        writer.write(RequestStarted(number=number, stage="export", title="Export"))
        writer.write(
            ArtifactExported(
                artifact=name,
                kind="gguf",
                path=f"exports/{name}",
                num_bytes=144_800_000,
                seconds=2.0,
                file_type="Q8_0",
                bits_per_weight=8.5,
                num_rows=50,
                agreement=0.94,
                perplexity_change=0.0123,
                seconds_per_answer=0.58,
            )
        )
    (made,) = export.artifacts_of(run, 2)
    head, line = export.table([made])
    assert head.split() == ["artifact", "size", "type", "bits/w", "agree", "ppl", "s/answer"]
    assert line.split() == ["gguf-Q8_0", "138", "MiB", "Q8_0", "8.50", "94.0%", "+1.2%", "0.58"]
    assert any("finetui chat" in each for each in export.next_steps(run, [made], "finetui"))


def test_the_help_fits_a_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        carry_out("export", ["--help"])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) <= 25
    assert max(map(len, shown)) <= 80
