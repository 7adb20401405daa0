"""The user's file of defaults: what wins over what, what is wrong with it, and where it is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.base_folders import cache_base, config_base, data_base
from engine.environment import child_environment
from engine.errors import RecipeError
from engine.own_defaults import SETTINGS, config_file, effective, known_key, own_file, refuse_faulty
from engine.run_dir import cache_dir, finetui_home


@pytest.fixture
def config(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the file, in a folder that is there."""
    base = own_machine.parent / "config"
    (base / "finetui").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(base))
    return config_file()


@pytest.mark.parametrize(
    ("variable", "base", "otherwise"),
    [
        ("XDG_CONFIG_HOME", config_base, ".config"),
        ("XDG_DATA_HOME", data_base, ".local/share"),
        ("XDG_CACHE_HOME", cache_base, ".cache"),
    ],
)
def test_a_base_folder_is_the_one_named_unless_it_is_relative_or_empty(
    variable: str, base: object, otherwise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(base)
    for text, expected in (("/x", Path("/x")), ("x/y", Path.home() / otherwise), ("", Path.home() / otherwise)):
        monkeypatch.setenv(variable, text)
        assert base() == expected
    monkeypatch.delenv(variable)
    assert base() == Path.home() / otherwise


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (effective("screen.ascii").value, effective("screen.ascii").origin) == (False, "default")
    config.write_text("[screen]\nascii = true\n")
    assert (effective("screen.ascii").value, effective("screen.ascii").place) == (True, str(config))
    monkeypatch.setenv("FINETUI_ASCII", "0")
    assert (effective("screen.ascii").value, effective("screen.ascii").place) == (False, "FINETUI_ASCII")


def test_folders_of_the_file_are_used_unless_the_environment_names_others(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[paths]\nhome = "~/runs-here"\ncache = "/models"\n')
    monkeypatch.delenv("FINETUI_HOME", raising=False)
    monkeypatch.delenv("FINETUI_CACHE", raising=False)
    assert (finetui_home(), cache_dir()) == (Path.home() / "runs-here", Path("/models"))
    monkeypatch.setenv("FINETUI_HOME", "/elsewhere")
    assert finetui_home() == Path("/elsewhere")


def test_a_runs_processes_keep_to_the_folders_of_its_start(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('[paths]\ncache = "/models"\n')
    monkeypatch.delenv("FINETUI_CACHE", raising=False)
    monkeypatch.setenv("FINETUI_HOME", "relative")
    told = child_environment()
    assert told["FINETUI_CACHE"] == "/models"
    assert told["FINETUI_HOME"] == str(Path.cwd() / "relative")
    assert told["FINETUI_CONFIG"] == str(config)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("[screen]\ntheem = 'dark'\n", 2, "screen.theem is no setting. Did you mean screen.theme?"),
        ("[screen]\n\ntheme = 'drak'\n", 3, "screen.theme takes one of auto, dark, light, not 'drak'."),
        ("screen.ascii = 'yes'\n", 1, "screen.ascii takes true or false."),
        ("[notify]\ncommand = 'ls | mail'\n", 2, "notify.command takes a list of words"),
        ("[paths]\nhome = 'here'\n", 2, "paths.home takes a folder by its whole path"),
        ("[recipe]\nseed = 7\n", 2, "recipe.seed is no field of a recipe: those stand in sections"),
        ("theme = 'dark'\n", 1, "theme is no setting. Did you mean screen.theme?"),
        ("x = = 1\n", 1, "is not valid TOML"),
        ("[a\n", 1, "is not valid TOML"),
    ],
)
def test_a_fault_of_the_file_is_told_with_its_line_and_refuses_only_a_start(
    text: str, line: int, told: str, config: Path
) -> None:
    config.write_text(text + ("[notify]\ndesktop = false\n" if "no setting" in told and "[" in text else ""))
    (fault,) = own_file().faults
    assert f"line {line}" in fault
    assert told in fault
    assert str(config) in fault
    assert set(own_file().settings) <= {"notify.desktop"}  # what is sound in it still counts
    with pytest.raises(RecipeError, match="Your defaults cannot be used") as refused:
        refuse_faulty()
    assert fault in refused.value.happened


def test_a_file_that_cannot_be_read_is_told_and_none_at_all_is_fine(config: Path) -> None:
    assert (own_file().exists, own_file().faults) == (False, ())
    config.write_bytes(b"# fine\nx = '\xff'\n")
    assert own_file().faults == (f"{config}, line 2: it is no UTF-8 text.",)
    config.unlink()
    config.mkdir()
    assert own_file().faults == (f"{config} is a folder, not a file.",)


def test_dev_null_is_a_file_without_settings(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[screen]\nascii = true\n")
    monkeypatch.setenv("FINETUI_CONFIG", os.devnull)
    assert (effective("screen.ascii").value, own_file().faults) == (False, ())


def test_a_variable_with_a_value_that_nobody_knows_refuses_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUI_NOTIFY", "osc8")
    assert effective("notify.terminal").origin == "default"
    with pytest.raises(RecipeError, match="FINETUI_NOTIFY takes one of auto, bell"):
        refuse_faulty()


def test_every_setting_has_a_sentence_and_a_default_that_it_takes() -> None:
    for setting in SETTINGS.values():
        assert setting.sentence.endswith(".")
        assert setting.kind == "folder" or not setting.fault(setting.default)
        assert known_key(setting.key) == setting
    assert known_key("recipe.training.seed") is None
    with pytest.raises(RecipeError, match=r"Did you mean notify\.command"):
        known_key("notify.comand")
