"""What counted tokens say about max_length and batches: all that `finetui data stats` and the wizard tell of them.

Pure. Not here: the counting (`token_counts`), and what a batch costs in memory (`memory`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from data.figures.spread import Spread, interval, mean_error, share_error, spread
from engine.packing import Batches, Packs, batches, packed
from engine.token_counts import Loss, TokenCounts

ROUNDED_TO = 64
"""Tokens; lengths that are advised are a multiple of it."""
FAR_LONGER = 1.5
"""Where the longest row is more than so many times as long as 99 % of the rows, it is not what to plan for."""
MOST_CHOICES = 4


@dataclass(frozen=True, slots=True)
class TokenReport:
    """Tokens of the rows of a dataset, and what becomes of them at `max_length` in batches of `batch_size` rows.

    `choices` are losses at values of max_length worth looking at, the asked one included. For a sample, `errors` are
    half-widths of 95 % intervals: of the mean, of the share over max_length; and the intervals of the percentiles.
    """

    counts: TokenCounts
    max_length: int
    batch_size: int
    lengths: Spread
    choices: tuple[Loss, ...]
    advised: int
    advice: str
    batches: Batches
    packs: tuple[Packs, ...]
    errors: dict[str, Any]

    @property
    def share_trained(self) -> float:
        return self.counts.num_trained / self.lengths.total if self.lengths.total else 0.0

    @property
    def loss(self) -> Loss:
        """At the max_length that was asked for."""
        return self.counts.loss_at(self.max_length)

    def to_json(self) -> dict[str, Any]:
        """Plain dict, without the lengths of the single rows."""
        counts = self.counts
        packs = [asdict(each) | {"share_filled": round(each.share_filled, 4)} for each in self.packs]
        return {
            "rendering": counts.rendering,
            "rows_counted": len(counts.lengths),
            "rows": counts.num_rows,
            "rows_refused_by_template": counts.num_refused,
            "refusal": counts.refusal,
            "lengths": self.lengths.to_json(),
            "tokens_trained": counts.num_trained,
            "max_length": self.max_length,
            "at_max_length": [asdict(loss) for loss in counts.losses],
            "advised_max_length": self.advised,
            "advice": self.advice,
            "batches": asdict(self.batches) | {"share_padding": round(self.batches.share_padding, 4)},
            "packing": packs,
            "sample_errors": self.errors,
            "seconds": round(counts.seconds, 3),
        }


def token_report(counts: TokenCounts, max_length: int, batch_size: int) -> TokenReport:
    """Add up counted tokens. Raises ValueError where no row was counted."""
    if not counts.lengths:
        raise ValueError("no rows were counted")
    found = counts.counts
    lengths = spread(found)
    advised, advice = _advice(lengths, max_length)
    errors: dict[str, Any] = {}
    if counts.is_sample:
        num, share = lengths.num, counts.loss_at(max_length).num_rows_over / lengths.num
        errors = {
            "mean": round(mean_error(found, counts.num_rows), 2),
            "share_over_max_length": round(share_error(share, num, counts.num_rows), 4),
            **{f"p{percent}": list(interval(found, percent / 100)) for percent in (50, 95, 99)},
        }
    return TokenReport(
        counts,
        max_length,
        batch_size,
        lengths,
        _choices(counts, max_length),
        advised,
        advice,
        batches(counts.lengths, max_length, batch_size),
        (packed(counts.lengths, max_length, rows_at_once=None), packed(counts.lengths, max_length, "wrapped")),
        errors,
    )


def _advice(lengths: Spread, max_length: int) -> tuple[int, str]:
    """(tokens, a sentence): the smallest max_length that loses nothing, or next to nothing."""
    whole, most = (math.ceil(value / ROUNDED_TO) * ROUNDED_TO for value in (lengths.largest, lengths.p99))
    if lengths.largest <= lengths.p99 * FAR_LONGER or whole == most:
        if max_length >= lengths.largest:
            return whole, "every row fits" + (f", and would in {whole:,}" if whole < max_length else "")
        return whole, f"{whole:,} holds every row"
    return (
        most,
        f"{most:,} holds 99 % of the rows whole, {whole:,} the longest too",
    )


def _choices(counts: TokenCounts, max_length: int) -> tuple[Loss, ...]:
    """From where half of the rows fit to where all do, and the asked length."""
    num = len(counts.lengths)
    worth = [loss for loss in counts.losses if 0 < loss.num_rows_over <= num / 2]
    whole = [loss for loss in counts.losses if not loss.num_rows_over]
    shown = {loss.max_length: loss for loss in (*worth[: MOST_CHOICES - 2], *whole[:1], counts.loss_at(max_length))}
    return tuple(shown[length] for length in sorted(shown))
