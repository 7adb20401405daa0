"""What preparation tells of the rows beside the receipt: what the checks found in the train rows, and the dataset card.

Not here: what is looked for (`data.checks`), and the numbers in tokens (`data.receipt`).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.card import write_card
from data.checking import Limits, check
from data.findings import Finding
from data.loading import ReadRow
from data.preparation import DataRequest, Prepared
from data.preparation_card import card_of
from data.receipt import Receipt
from data.sources import SourceFile
from data.splitting import SPLITS
from engine.data_request import command_words
from engine.errors import DataError
from engine.event_log import EventWriter
from engine.events import WarningRaised, clip
from engine.run_dir import RunDir

MOST_WARNINGS = 4
"""More findings than that stand in the card only."""


def account_for(
    run: RunDir, request: DataRequest, rows: Prepared, receipt: Receipt, writer: EventWriter
) -> tuple[Finding, ...]:
    """Check the train rows of a run, write its dataset card, and warn of the worst; what was found.

    Raises DataError for a finding that makes training pointless; the card is written by then.
    """
    findings = found_in(run.dataset, request, rows)
    outputs = tuple(written(run.dataset / f"{name}.jsonl", run) for name in SPLITS)
    _, card = write_card(card_of(request, rows, receipt, outputs=outputs, findings=findings), run.dataset)
    stop_for(findings)
    warn_of(findings, card, writer)
    return findings


class TrainRows:
    """The train rows as the checks take them: each stands where its file was given, not where the run keeps it."""

    def __init__(self, dataset: str, rows: Prepared) -> None:
        self.dataset, self._rows = dataset, rows

    def __iter__(self) -> Iterator[ReadRow]:
        places = self._rows.places["train"]
        for example in self._rows.train:
            yield ReadRow(example.line, *places.of(example.line), None, example, None)


def found_in(folder: Path, request: DataRequest, rows: Prepared) -> tuple[Finding, ...]:
    """What the checks find in the train rows, worst first; places are those of the files that were given.

    `folder` takes temporary files. Near-duplicates are not looked for: `finetui data check` does it, and takes its
    time.
    """
    with tempfile.TemporaryDirectory(prefix="checking-", dir=folder) as work:
        report = check(
            TrainRows(request.dataset, rows),
            limits=Limits(near_rows=0),
            work_dir=Path(work),
            named=command_words(request),
        )
    return report.findings  # none of rejected rows: those are in the receipt


def written(path: Path, run: RunDir) -> SourceFile:
    """A file of the run, by its path inside it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return SourceFile(path.relative_to(run.path).as_posix(), digest, file.tell())


def stop_for(findings: Sequence[Finding]) -> None:
    """Raises DataError for the first finding that is an error."""
    for finding in findings:
        if finding.level == "error":
            raise DataError(
                f"The train rows: {finding.what}",
                means=finding.means,
                remedy=f"Mend them: {finding.fix}" if finding.fix else "Mend or leave out these rows.",
            )


def warn_of(findings: Sequence[Finding], card: Path, writer: EventWriter) -> None:
    """One sentence each for the worst warnings, and one for how many more there are and where all of them stand."""
    warnings = [finding for finding in findings if finding.level == "warning"]
    for finding in warnings[:MOST_WARNINGS]:
        first = f" First in {finding.first_rows[0]}." if finding.first_rows else ""
        writer.write(WarningRaised(text=clip(f"train rows: {finding.what}{first} {finding.means}", 400)))
    if warnings:
        left = len(warnings) - MOST_WARNINGS
        more = f"{left} more finding{'' if left == 1 else 's'} about the train rows. " if left > 0 else ""
        writer.write(WarningRaised(text=f"{more}All of it, with the rows and how to mend them: {card}"))
