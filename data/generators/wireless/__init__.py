"""Outdoor links in the 5 GHz band: their budgets as a table, and conversations about them.

    links           one row a link: what it is given (distance_km, tx_power_dbm, …) and what follows from it
                    (fspl_db, snr_db, mcs_index, throughput_mbps, …); `columns` says what each is
    conversations   {"messages": [{"role": "user", …}, {"role": "assistant", …}]}: questions whose answers are those
                    very numbers, of the same links in the same order

The formulas stand in `budget`, `modulation` and `regulation`, each with its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data.errors import DataError
from data.generators.wireless import sampling
from data.generators.wireless.questions import conversations
from data.generators.wireless.validation import faults

__all__ = ["DEFAULT_ROWS", "FORMS", "NAME", "TITLE", "faults", "links", "rows"]

NAME = "wireless"
TITLE = "questions about outdoor 5 GHz links, answered from their link budgets (path loss, SNR, MCS, throughput)"
DEFAULT_ROWS = 10_000


def links(num_rows: int = DEFAULT_ROWS, seed: int = 42) -> Iterator[dict[str, Any]]:
    """`num_rows` links with all their columns, one at a time. Raises DataError for fewer than one."""
    _check(num_rows)
    return sampling.links(num_rows, seed)


def rows(num_rows: int = DEFAULT_ROWS, seed: int = 42) -> Iterator[dict[str, Any]]:
    """One conversation for each of `links`, one at a time. Raises DataError for fewer than one."""
    _check(num_rows)
    return conversations(sampling.links(num_rows, seed), seed)


def _check(num_rows: int) -> None:
    if num_rows < 1:
        raise DataError(
            f"data.generator_rows is {num_rows}.",
            means=f"The generator {NAME} makes 1 row or more.",
            remedy=f"50 are enough for a trial; {DEFAULT_ROWS} is usual.",
        )


FORMS = {"links": links, "conversations": rows}
