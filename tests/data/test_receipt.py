"""The receipt: exact numbers, what is refused, and how it reads in a terminal."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from data.errors import DataError
from data.receipt import Receipt, TokenCount, build_receipt, check_receipt, lines, nearest_rank
from data.rows import Rejection
from data.understanding.detection import Detection


def count(line: int, request: int, answer: int, max_length: int = 100, *, stops: bool | None = None) -> TokenCount:
    """A row whose answer follows its request and ends with the stop token, cut at `max_length`."""
    total = request + answer
    kept = min(total, max_length)
    trained = max(0, kept - request)
    return TokenCount(line, total, answer, kept, trained, kept == total if stops is None else stops)


def receipt(
    counts: list[TokenCount], max_length: int | None = 100, on_overflow: Any = "truncate", **more: Any
) -> Receipt:
    facts: dict[str, Any] = {
        "rejected": [],
        "split_sizes": {"train": len(counts), "eval": 3, "test": 4},
        "duplicates": 2,
        "detection": Detection("alpaca", 1.0, "every sampled row has the columns of alpaca"),
    }
    return build_receipt(counts, max_length=max_length, on_overflow=on_overflow, **{**facts, **more})


def test_lengths_are_nearest_ranks() -> None:
    assert [nearest_rank(Counter(range(1, 101)), p) for p in (50, 95, 99)] == [50, 95, 99]
    assert [nearest_rank(Counter([9, 3, 7]), p) for p in (50, 95, 99)] == [7, 9, 9]
    assert [nearest_rank({2: 94, 8: 6}, p) for p in (50, 94, 95)] == [2, 2, 8]
    assert nearest_rank({5: 1}, 50) == 5
    assert nearest_rank({}, 50) == 0


def test_truncated_rows_are_counted_with_the_tokens_and_answers_they_lose() -> None:
    made = receipt([count(1, 10, 10), count(2, 90, 30), count(3, 120, 10)])
    assert (made.over_length.num_rows, made.over_length.first_lines) == (2, (2, 3))
    assert made.share_over_length == pytest.approx(2 / 3)
    assert (made.num_tokens_lost, made.num_trained_lost) == (50, 30)
    assert (made.num_tokens_kept, made.num_trained_kept) == (220, 20)
    assert made.share_trained == pytest.approx(20 / 220)
    assert (made.answer_cut_away.num_rows, made.answer_cut_away.first_lines) == (1, (3,))
    assert (made.without_stop_token.num_rows, made.stop_token_always_trained) == (2, False)
    assert (made.num_rows_kept, made.num_rows_dropped, made.length_max) == (3, 0, 130)
    check_receipt(made)


def test_dropped_rows_lose_all_their_tokens_and_count_no_further() -> None:
    made = receipt([count(1, 10, 10), count(2, 90, 30)], on_overflow="drop")
    assert (made.num_rows_dropped, made.num_rows_kept) == (1, 1)
    assert (made.num_tokens_lost, made.num_trained_lost) == (120, 30)
    assert made.share_trained == 0.5
    assert made.stop_token_always_trained


def test_rejected_rows_are_counted_by_reason_with_their_first_lines() -> None:
    rejected = [Rejection(n, "'output' is empty", "a") for n in range(10)] + [Rejection(3, "not valid JSON", "a")]
    made = receipt([count(1, 10, 10)], rejected=rejected)
    assert [(note.what, note.num_rows, note.first_lines) for note in made.rejected] == [
        ("'output' is empty", 10, (0, 1, 2, 3, 4)),
        ("not valid JSON", 1, (3,)),
    ]


def test_a_receipt_survives_the_round_through_json_text() -> None:
    made = receipt([count(1, 10, 10), count(2, 90, 30)], rejected=[Rejection(3, "x", "a")])
    assert Receipt.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_rows_that_are_too_long_are_refused_with_their_lines_and_the_three_choices() -> None:
    with pytest.raises(DataError) as caught:
        check_receipt(receipt([count(1, 10, 10), count(17, 90, 30)], on_overflow="refuse"))
    assert "1 row(s) are longer than 100 tokens (line 17)" in caught.value.happened
    assert all(choice in caught.value.remedy for choice in ('"truncate"', '"drop"', '"refuse"'))
    check_receipt(receipt([count(1, 10, 10)], on_overflow="refuse"))


def test_the_answers_that_pairs_refuse_are_said_to_be_unused() -> None:
    shown = lines(receipt([count(1, 10, 10)], num_pairs=3))
    assert "pairs           3 rows: the chosen answers are trained, the refused ones are" in shown
    assert not any(line.startswith("pairs") for line in lines(receipt([count(1, 10, 10)])))


def test_a_receipt_written_before_there_were_pairs_is_read() -> None:
    value = receipt([count(1, 10, 10)]).to_json()
    del value["num_pairs"]
    assert Receipt.from_json(value).num_pairs == 0


def test_nothing_trained_is_refused() -> None:
    with pytest.raises(DataError, match=r"0 % of the tokens") as caught:
        check_receipt(receipt([count(1, 150, 10), count(2, 100, 10)]))
    assert "2 row(s) lose theirs" in caught.value.means


def test_no_row_left_after_dropping_is_refused() -> None:
    with pytest.raises(DataError, match="No row is left"):
        check_receipt(receipt([count(1, 150, 10)], on_overflow="drop"))


def test_a_stop_token_that_no_row_trains_is_refused_and_one_that_some_rows_lack_is_shown() -> None:
    with pytest.raises(DataError, match="end-of-turn token") as caught:
        check_receipt(receipt([count(1, 10, 10, stops=False), count(2, 10, 10, stops=False)]))
    assert "never learn to stop" in caught.value.means
    some = receipt([count(1, 10, 10, stops=False), count(2, 10, 10)])
    check_receipt(some)
    assert "stop token      not trained in 1 row of 2 (line 1)" in lines(some)


def test_the_receipt_reads_in_a_terminal_of_eighty_columns() -> None:
    rejected = [Rejection(n, "unknown role '\\x1b[2J' " + "that is long " * 9, "a") for n in range(9)]
    shown = lines(receipt([count(1, 10, 10), count(2, 90, 30), count(3, 120, 10)], rejected=rejected))
    assert max(map(len, shown)) <= 78
    text = "\n".join(shown)
    assert "rows            3 train, 3 eval, 4 test" in shown
    assert "duplicates      2 rows dropped" in shown
    assert "tokens per row  p50 120, p95 130, p99 130, max 130" in shown
    assert "trained         20 of 220 tokens (9.1 %)" in shown
    assert "50 tokens lost, 30 of them answer" in " ".join(text.split())
    assert "1 row: the whole answer is lost (line 3)" in text


def test_control_characters_reach_no_terminal() -> None:
    shown = lines(receipt([count(1, 10, 10)], rejected=[Rejection(1, "\x1b[2J\nx", "a")]))
    assert not any("\x1b" in line or "\n" in line for line in shown)


def test_a_share_is_called_all_or_nothing_only_when_it_is() -> None:
    nearly_none = receipt([count(1, 9999, 1, 20000)], max_length=None)
    assert "trained         1 of 10000 tokens (< 0.1 %)" in lines(nearly_none)
    assert "too long        no limit is set" in lines(nearly_none)


def test_a_misspelt_overflow_rule_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="on_overflow"):
        receipt([count(1, 1, 1)], on_overflow="cut")
