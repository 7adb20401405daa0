"""Names of runs: which are taken, which run a shortened one means, and what a new one may be called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RecipeError, RunDirError
from engine.run_dir import RunDir
from engine.run_names import meant, nearest_free, require_name

NAMES = ["demo-10", "demo-1", "other"]


@pytest.mark.parametrize(("typed", "run"), [("oth", "other"), ("-", "other"), ("demo-10", "demo-10"), ("o", "other")])
def test_the_beginning_of_a_name_and_a_hyphen_stand_for_a_run(typed: str, run: str) -> None:
    assert meant(typed, NAMES) == run


@pytest.mark.parametrize("typed", ["", "x", "emo", "demo-100", "OTHER"])
def test_what_no_name_begins_with_stands_for_none(typed: str) -> None:
    assert meant(typed, NAMES) is None
    assert meant("-", []) is None


def test_a_number_is_never_cut_in_two() -> None:
    assert meant("demo-1", ["demo-10", "demo-11"]) is None
    assert meant("demo-", ["demo-10"]) == "demo-10"


def test_a_beginning_of_several_names_is_refused_with_them() -> None:
    with pytest.raises(RunDirError, match="'demo' may be demo-1 or demo-10"):
        meant("demo", NAMES)


def test_a_run_is_opened_by_its_whole_name_before_any_that_begins_so(own_machine: Path) -> None:
    root = own_machine / "runs"
    for name in ("try", "try-again"):
        RunDir.create(root, "x", name=name)
    assert RunDir.open("try").name == "try"
    assert RunDir.open("try-").name == "try-again"
    with pytest.raises(RunDirError, match="There is no run 'nope'"):
        RunDir.open("nope")


def test_a_name_that_is_taken_is_refused_with_the_nearest_free_one(own_machine: Path) -> None:
    root = own_machine / "runs"
    for name in ("good", "good-2"):
        assert RunDir.create(root, "ignored", name=name).path == (root / name).resolve()
    with pytest.raises(RunDirError, match="There is a run good already") as refused:
        RunDir.create(root, "ignored", name="good")
    assert refused.value.remedy == "good-3 is free."
    assert nearest_free(root, "good-2") == "good-3"


@pytest.mark.parametrize("name", ["", "-", "..", ".hidden", "a b", "a/b", "a\n", "x.toml", "é", "a" * 101, "~", "*"])
def test_what_cannot_be_typed_or_is_a_path_is_no_name(name: str) -> None:
    with pytest.raises(RecipeError, match="A run cannot be called"):
        require_name(name)


@given(st.text())
def test_the_name_that_a_refusal_offers_is_one(text: str) -> None:
    try:
        require_name(text)
    except RecipeError as refused:
        offered = refused.remedy.removeprefix("For example: ")
        assert require_name(offered) == offered
