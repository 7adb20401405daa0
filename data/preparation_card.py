"""The dataset card of prepared rows: what a run read, what it left out and cut, and why.

Not here: the card itself (`card`), the numbers in tokens (`receipt`), and who asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from data.card import ROWS_NAMED, Card, Change
from data.findings import Finding
from data.preparation import DataRequest, Prepared
from data.receipt import Receipt
from data.rows import Rejection
from data.sources import SourceFile

CUT = {
    "truncate": ("cut at {0} tokens", 'data.on_overflow is "truncate".'),
    "drop": ("longer than {0} tokens, left out of training", 'data.on_overflow is "drop".'),
}


def card_of(
    request: DataRequest,
    rows: Prepared,
    receipt: Receipt,
    *,
    outputs: tuple[SourceFile, ...] = (),
    findings: tuple[Finding, ...] = (),
    notes: tuple[str, ...] = (),
) -> Card:
    """The card of what `prepare` made of a request, its train rows counted in `receipt`."""
    sizes = f"{receipt.num_train:,} train, {receipt.num_eval:,} eval and {receipt.num_test:,} test rows"
    told = [f"Split with seed {request.seed}, no request in two parts: {sizes}.", *rows.notes, *notes]
    if request.system is not None:
        told.append("data.system stands before every conversation that has no system message of its own.")
    if receipt.num_pairs:
        told.append(f"{receipt.num_pairs:,} train rows are preference pairs; their refused answers are not used.")
    return Card(
        title=f"Prepared rows of {request.dataset}",
        made_by="the preparation stage of a finetui run, from its recipe.toml",
        inputs=rows.files,
        outputs=outputs,
        detection=rows.detection,
        num_read=rows.num_read,
        num_kept=len(rows.train) + len(rows.eval) + len(rows.test),
        changes=(*_left_out(rows.rejected), *_duplicates(rows), *_overlong(receipt, rows)),
        findings=findings,
        notes=tuple(told),
    )


def _left_out(rejected: Iterable[Rejection]) -> list[Change]:
    counted: Counter[str] = Counter()
    first: dict[str, list[str]] = {}
    for rejection in rejected:
        counted[rejection.reason] += 1
        if len(places := first.setdefault(rejection.reason, [])) < ROWS_NAMED:
            places.append(f"{rejection.file}, line {rejection.line}")
    ranked = sorted(counted.items(), key=lambda reason: (-reason[1], reason[0]))
    return [Change("left out", number, f"{reason}.", tuple(first[reason])) for reason, number in ranked]


def _duplicates(rows: Prepared) -> list[Change]:
    why = "An earlier row has the same request and answer."
    return [Change("left out", rows.duplicates, why)] if rows.duplicates else []


def _overlong(receipt: Receipt, rows: Prepared) -> list[Change]:
    over = receipt.over_length
    if not over.num_rows or receipt.on_overflow not in CUT:
        return []
    what, why = CUT[receipt.on_overflow]
    lines = tuple(map(rows.places["train"].words, over.first_lines))
    return [Change(what.format(f"{receipt.max_length:,}"), over.num_rows, why, lines)]
