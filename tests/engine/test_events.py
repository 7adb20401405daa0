"""Shortening texts for events. What holds for every event type is in contracts/."""

from __future__ import annotations

import json

import pytest

from engine.event_log import MAX_LINE_BYTES, encode
from engine.events import Stamped, WarningRaised, clip


def test_a_text_that_fits_stays_as_it_is() -> None:
    assert clip("x" * 800) == "x" * 800
    assert clip("") == ""


@pytest.mark.parametrize("text", ["x" * 9000, "漢" * 9000, "🦥" * 9000, "\x00" * 9000, '"' * 9000, "\udcff" * 9000])
def test_a_clipped_text_takes_no_more_bytes_than_asked_for(text: str) -> None:
    clipped = clip(text, 400)
    size = len(json.dumps(clipped, ensure_ascii=False).encode(errors="backslashreplace")) - 2
    assert 390 < size <= 400
    assert clipped.endswith("…")
    assert text.startswith(clipped[:-1])


def test_four_clipped_texts_fit_one_line_whatever_they_are_made_of() -> None:
    line = encode(Stamped(0.0, "supervisor", 0, WarningRaised(text="".join(clip(c * 5000) for c in "x漢\x00\x1b"))))
    assert len(line) <= MAX_LINE_BYTES
