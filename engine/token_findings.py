"""What only a model's tokenizer can find in rows, as findings beside those of `data.checking`.

The rows are rendered and counted by the worker that previews them (`row_preview`), so no torch is loaded here; it reads
the first 20,000 rows. Not here: lengths of all rows (`token_counts`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.findings import Finding, Level
from data.receipt import Receipt, RowNote
from engine.errors import ModelError
from engine.recipe import Recipe
from engine.row_preview import row_preview


def token_findings(recipe: Recipe, base_dir: Path, place: Callable[[int], str]) -> tuple[tuple[Finding, ...], str]:
    """Findings of the recipe's rows with its model and max_length, and a note ("" for none).

    `place` tells where a row number stands. Raises what `row_preview` raises, and ModelError without a tokenizer.
    """
    preview = row_preview(recipe, base_dir, num_rows=0)
    if preview.receipt is None:
        raise ModelError(
            f"Tokens cannot be counted. {preview.note}".strip(),
            means="The other checks need no model.",
            remedy="Leave --model out, or name a model whose tokenizer is on this machine.",
        )
    return findings_in(preview.receipt, place), preview.note


def findings_in(receipt: Receipt, place: Callable[[int], str]) -> tuple[Finding, ...]:
    """The findings that a receipt holds, errors first."""
    length = f"{receipt.max_length:,} tokens" if receipt.max_length else "max_length"

    def finding(check: str, level: Level, what: str, note: RowNote, means: str) -> Finding:
        rows = f"{note.num_rows:,} row{'' if note.num_rows == 1 else 's'}"
        return Finding(check, level, f"{what}: {rows}.", means, note.num_rows, tuple(map(place, note.first_lines)))

    found = (
        finding(
            "all-masked",
            "error",
            f"No token to train on within {length}",
            receipt.answer_cut_away,
            "The request alone fills the row, so nothing is learned from it; a run leaves it out.",
        ),
        finding(
            "over-long",
            "warning",
            f"Rows of more than {length}",
            receipt.over_length,
            f"What lies beyond is cut off; the longest row has {receipt.length_max:,} tokens.",
        ),
        finding(
            "stop-token",
            "warning",
            "No stop token is trained",
            receipt.without_stop_token,
            "The model is not taught where an answer ends, and runs on.",
        ),
    )
    return tuple(one for one in found if one.num_rows)
