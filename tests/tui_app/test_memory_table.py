"""The plan on a terminal: numbers in a column, no line too long, and words that a beginner understands."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from engine.hardware import emulate, read_hardware
from engine.memory import MemoryPrediction
from engine.outlook import outlook
from engine.plan import plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir
from engine.units import GIB, format_bytes
from presets.preset import all_presets
from tui_app.cli import build_parser, main
from tui_app.memory_table import MAX_COLUMNS, memory_lines, remarks

PREDICTION = MemoryPrediction(
    terms=(("weights", 7 * GIB), ("activations", GIB)),
    peak_bytes=8 * GIB,
    static_bytes=7 * GIB,
    reserved_low_bytes=8 * GIB,
    reserved_high_bytes=9 * GIB,
    outside_bytes=GIB,
    needed_bytes=9 * GIB,
    capacity_bytes=16 * GIB,
    verdict="fits",
    reason="needs 9.0 GiB of 16.0 GiB",
    method="dry run",
    closed_form_peak_bytes=8 * GIB,
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUI_HOME", str(tmp_path / "home"))


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["plan", "--closed-form", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", ["70", "80", "200"])
@pytest.mark.parametrize("preset", [each.name for each in all_presets()])
def test_no_line_is_wider_than_the_terminal_or_than_a_hundred_columns(
    preset: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = shown(capsys, preset, "--device", "t4").splitlines()
    assert max(len(line) for line in lines) <= min(int(columns), MAX_COLUMNS)


def test_the_terms_add_up_and_their_numbers_end_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "trinity-gemma3-12b-16gb", "--device", "a100-40gb")
    table = text[text.index("memory, by") : text.index("time, an estimate")].splitlines()
    ends = {match.end() for line in table if (match := re.match(r"  [a-z].*?\d (GiB|MiB|KiB|B)(?=  |$)", line))}
    assert len(ends) == 1
    for word in ("weights", "quantization overhead", "adapter", "peak allocated", "reserved", "needed", "there is"):
        assert any(line.startswith(f"  {word} ") for line in table), word
    assert "FITS: needs" in text


def test_the_whole_answer_is_there_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(shown(capsys, "trinity-gemma3-12b-16gb", "--device", "t4", "--json"))
    assert sum(size for _, size in told["plan"]["memory"]["terms"]) == told["plan"]["memory"]["peak_bytes"]
    assert {"rung", "peak_bytes", "saved_bytes", "allowed", "changes_objective"} <= set(told["ladder"][0])
    assert told["time"]["low_seconds"] < told["time"]["high_seconds"]


def test_all_cards_stand_in_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "trinity-gemma3-12b-16gb", "--against", "all").splitlines()
    t4, h200 = (next(line for line in lines if line.startswith(f"  {card} ")) for card in ("t4", "h200"))
    assert re.search(r"14\.6 GiB .* (fits|tight|will not fit) +\S+ .*to", t4)
    assert "fits" in h200
    objects = [json.loads(line) for line in shown(capsys, "demo-cpu", "--against", "all", "--json").splitlines()]
    assert {"t4", "h200"} <= {each["card"] for each in objects}


def test_a_card_that_cannot_run_the_recipe_says_why_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("trinity-gemma3-12b-16gb", "--against", "all", "--set", "model.dtype=bfloat16")
    text = shown(capsys, *arguments)
    assert re.search(r"  t4 +cannot run: model.dtype: ", text)
    assert re.search(r"  l4 +\d", text)


def test_a_plan_that_will_not_fit_says_how_far_the_ladder_goes(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "trinity-gemma3-12b-16gb", "--vram", "10GiB")
    assert "WILL NOT FIT: needs" in text
    assert re.search(r"A run starts with those up to \w+", text)
    nothing = shown(capsys, "trinity-gemma3-12b-16gb", "--vram", "4GiB")
    assert "All of them together are predicted not to be enough." in nothing


def test_costly_rungs_are_marked_and_those_without_consent_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "trinity-gemma3-12b-16gb", "--device", "t4", "--set", 'ladder.costly=["disable_dora"]')
    taken, _, refused = text.partition("not taken, because ladder.costly does not name them")
    assert "costly: plain LoRA instead of DoRA" in taken
    assert "halve_max_length" in refused
    assert "halve_max_length" not in taken


def test_the_processor_can_be_planned_for_on_any_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert "planned for the CPU" in shown(capsys, "demo-cpu", "--device", "cpu")


def test_only_one_machine_can_be_asked_for() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["plan", "demo-cpu", "--vram", "6GiB", "--device", "t4"])


@pytest.mark.parametrize(("closed", "said"), [(8, ""), (7.5, ""), (6, "25% less"), (10, "25% more")])
def test_a_closed_form_that_is_off_by_more_than_a_tenth_is_shown(closed: float, said: str) -> None:
    told = remarks(dataclasses.replace(PREDICTION, closed_form_peak_bytes=int(closed * GIB)))
    assert bool(told) == bool(said)
    assert said in "".join(told)


def test_calibration_and_the_libraries_of_a_dry_run_are_named() -> None:
    recipe = Recipe.from_values({"model": {"name_or_path": "m"}, "data": {"dataset": "rows.jsonl"}})
    memory = dataclasses.replace(PREDICTION, source="torch 2.13.0", calibration="calibrated by 3 runs")
    seen = outlook(recipe, emulate(read_hardware(), "t4"), None, lambda _: memory, with_rungs=False)
    text = "\n".join(memory_lines(seen.plan))
    assert "memory, by a dry run (torch 2.13.0):" in text
    assert "calibrated by 3 runs" in text
    assert f"{format_bytes(8 * GIB)} to {format_bytes(9 * GIB)}" in text


def test_a_plan_says_of_which_rows_its_longest_batch_is_made(
    capsys: pytest.CaptureFixture[str], tiny_model_folder: Path, tmp_path: Path
) -> None:
    rows, recipe = tmp_path / "rows.jsonl", tmp_path / "recipe.toml"
    rows.write_text("".join(f'{{"instruction": "{"say " * n}", "output": "yes"}}\n' for n in range(1, 31)))
    recipe.write_text(f"""
        model = {{name_or_path = "{tiny_model_folder}"}}
        data = {{dataset = "rows.jsonl", eval_fraction = 0.1, test_fraction = 0.1}}
        training = {{per_device_train_batch_size = 4, max_length = 300, num_train_epochs = 2}}
    """)
    full = shown(capsys, str(recipe), "--device", "t4")
    assert re.search(
        r"longest batch +4 rows of 300 tokens\n +every row counts as max_length tokens: they were not", full
    )
    assert "how long in all depends on the number of rows" in " ".join(full.split())

    assert main(["plan", str(recipe), "--device", "t4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"]["counted"]
    assert told["rows"]["num_rows"] == 24
    longest = [tokens for tokens, _ in told["rows"]["longest_batch"]]
    assert len(longest) == 4
    assert 300 > longest[0] >= longest[-1]
    assert told["time"]["num_tokens"] == 2 * told["rows"]["num_tokens"]

    counted = shown(capsys, str(recipe), "--device", "t4")
    assert f"4 rows of {longest[0]} to {longest[-1]} tokens" in counted, "--closed-form takes what is counted already"
    assert "of 24 rows; max_length 300; counted with the model's tokenizer" in counted


def test_rows_with_a_fault_leave_a_plan_that_names_it(
    capsys: pytest.CaptureFixture[str], tiny_model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"colour": "blue"}\n' * 30)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'model.name_or_path = "{tiny_model_folder}"\ndata.dataset = "rows.jsonl"\n')
    assert main(["plan", str(recipe), "--device", "t4"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "every row counts as max_length tokens: " in told
    assert "colour" in told


def test_a_run_is_planned_with_the_rows_that_it_counted(
    capsys: pytest.CaptureFixture[str], tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = RunDir.create(tmp_path, "counted")
    values = {"model": {"name_or_path": str(tiny_model_folder)}, "data": {"dataset": "generator:venvy"}}
    recipe = Recipe.from_values(values)
    run.recipe.write_text(recipe.to_toml())
    run.plan(1).write_text(json.dumps(plan(recipe, emulate(read_hardware(), "t4"), None).to_json()))
    lengths = RowLengths.of([(77, 9), (55, 9)] * 6)
    run.prepared.write_text(json.dumps({"row_lengths": lengths.to_json()}))
    told = shown(capsys, str(run.path), "--set", "training.per_device_train_batch_size=1")
    assert re.search(r"longest batch +1 row of 77 tokens\n +of 12 rows; .*; counted by run counted-1", told)
    other = shown(capsys, str(run.path), "--set", "data.max_rows=20")
    assert "counted by run" not in other


def test_a_rehearsal_caps_the_recipe_itself_so_that_its_replay_is_capped_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["replay", "demo-cpu", "--vram", "3GiB", "--dry-run"]) == 0
    assert "memory.limit of the recipe, enforced" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vram", "9000GiB"], "A smaller card can be rehearsed here, a larger one cannot."),
        (["--vram", "3GiB", "--set", "memory.limit=2GiB"], "both cap the memory"),
        (["--vram", "zx81"], "neither a memory size nor a card"),
    ],
)
def test_a_rehearsal_that_cannot_be_honoured_is_an_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "demo-cpu", "--dry-run", *arguments]) == 2
    assert said in capsys.readouterr().err
