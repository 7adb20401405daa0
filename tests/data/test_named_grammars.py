"""A grammar is named by its file, or by the generator whose program it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.command_line.named_grammars import grammar_named
from data.errors import DataError
from data.generators.venvy.grammar import GRAMMAR


def test_a_bundled_program_goes_by_its_generators_name() -> None:
    assert grammar_named("generator:venvy") is GRAMMAR


def test_a_file_is_read_and_a_missing_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "tool.toml").write_text('program = "tool"\n[[command]]\nname = "go"\n')
    assert grammar_named(str(tmp_path / "tool.toml")).program == "tool"
    with pytest.raises(DataError, match="cannot be read"):
        grammar_named(str(tmp_path / "none.toml"))


def test_a_generator_without_commands_is_none_and_the_nearest_is_named() -> None:
    for name in ("generator:wireless", "generator:vennvy", "generator:../venvy", "generator:"):
        with pytest.raises(DataError, match="No bundled program is named") as told:
            grammar_named(name)
        assert "generator:venvy" in told.value.remedy
