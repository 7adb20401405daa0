"""Few layers stand for many only where each has the same neighbours."""

from __future__ import annotations

import pytest

from engine.training.dry_run.stretching import UnstretchableError, shallow_layers, stand_ins, stretch
from engine.training.dry_run.tracking import Record


def test_equal_layers_need_five() -> None:
    assert len(shallow_layers(["full"] * 48)) == 5


def test_a_pattern_keeps_every_kind_of_neighbourhood() -> None:
    kinds = (["sliding"] * 5 + ["full"]) * 8
    kept = shallow_layers(kinds)
    assert len(kept) < 12
    shallow = [kinds[index] for index in kept]
    assert [shallow[index] for index in stand_ins(kinds, kept)] == kinds


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_a_shallow_model_keeps_all_its_layers(depth: int) -> None:
    assert shallow_layers(["full"] * depth) == list(range(depth))


def test_a_layer_that_frees_what_only_its_stand_in_had_cannot_be_stretched() -> None:
    record = Record()
    for index in range(3):
        record.mark(f"forward {index}")
        if index == 0:
            record.kinds.append("activations")
            record.layers.append(None)
            record.events.append((0, 512))
        if index == 1:
            record.events.append((0, -512))
    with pytest.raises(UnstretchableError):
        stretch(record, [0, 1, 1, 2])
