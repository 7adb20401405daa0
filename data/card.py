"""The dataset card: what was read, kept and changed, and why, as JSON for programs and Markdown for people.

The same rows and options give the same bytes: no clock, no machine, and paths as they were given. It names rows by
file and line and never quotes them. Not here: who changes rows (`writers`, `preparation`), who finds faults (`checks`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.file_modes import fresh, placed
from data.findings import Finding
from data.sources import SourceFile
from data.understanding.detection import Detection

JSON_NAME, MARKDOWN_NAME = "dataset_card.json", "dataset_card.md"
CARD_VERSION = 1
ROWS_NAMED = 5
"""So many places stand beside a change or a finding."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something done to `num_rows` rows, why, and the first of them ("file, line n")."""

    what: str
    num_rows: int
    why: str
    first_rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """An account of rows on their way from `inputs` to `outputs` (none where rows were only looked at).

    `made_by` is the command line that did it. `num_read` counts every row of the inputs, `num_kept` those that can be
    trained on or were written. `fix_all` is the one command line that mends what was found; "" where there is none.
    """

    title: str
    made_by: str
    inputs: tuple[SourceFile, ...]
    outputs: tuple[SourceFile, ...]
    detection: Detection
    num_read: int
    num_kept: int
    changes: tuple[Change, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    fix_all: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {
            "card_version": CARD_VERSION,
            "title": self.title,
            "made_by": self.made_by,
            "inputs": [asdict(file) for file in self.inputs],
            "outputs": [asdict(file) for file in self.outputs],
            "detection": self.detection.to_json(),
            "num_read": self.num_read,
            "num_kept": self.num_kept,
            "changes": [asdict(change) | {"first_rows": list(change.first_rows)} for change in self.changes],
            "findings": [finding.to_json() for finding in self.findings],
            "fix_all": self.fix_all,
            "notes": list(self.notes),
        }

    def to_markdown(self) -> str:
        """The same for people: a page of GitHub-flavoured Markdown, every name and text drawn literally."""
        detection = self.detection
        share = f"{self.num_kept / self.num_read:.1%}" if self.num_read else "none"
        told = f"{literal(detection.format)}, {detection.sureness}: {literal(detection.reason)}"
        parts = [
            f"# {literal(self.title)}",
            f"Made by {code(self.made_by)}",
            f"- rows read: {self.num_read:,}\n- rows kept: {self.num_kept:,} ({share})\n- format: {told}",
            "## Read",
            _files(self.inputs),
        ]
        if self.outputs:
            parts += ["## Written", _files(self.outputs)]
        parts += ["## Changed", "\n".join(map(_change, self.changes)) or self._unchanged()]
        if self.findings:
            parts += ["## Found", "\n".join(map(_finding, self.findings))]
        if self.fix_all:
            parts.append(f"All of it: {code(self.fix_all)}")
        if self.notes:
            parts += ["## Notes", "\n".join(f"- {literal(note)}" for note in self.notes)]
        return "\n\n".join(parts) + "\n"

    def _unchanged(self) -> str:
        if not self.outputs:
            return "Nothing: the rows were only looked at."
        return "Nothing: every row read is kept." if self.num_kept == self.num_read else "Nothing in the rows kept."


def write_card(card: Card, folder: Path) -> tuple[Path, Path]:
    """Write dataset_card.json and dataset_card.md into a folder, made where it is missing; both paths.

    A card that is there is replaced. Raises DataError where they cannot be written.
    """
    texts = {
        folder / JSON_NAME: json.dumps(card.to_json(), ensure_ascii=False, indent=2) + "\n",
        folder / MARKDOWN_NAME: card.to_markdown(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            # Half a surrogate pair may stand in a file's name.
            _write_whole(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise DataError(
            f"The dataset card cannot be written to {folder}: {error.strerror}.",
            means="The rows themselves are not touched by it.",
            remedy="Name another folder, or make room in this one.",
        ) from error
    return folder / JSON_NAME, folder / MARKDOWN_NAME


def _write_whole(path: Path, content: bytes) -> None:
    """Under a temporary name first, so that no moment shows half a file."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with fresh(temporary).open("xb") as file:
            file.write(content)
        placed(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _files(files: Iterable[SourceFile]) -> str:
    head = "| file | bytes | SHA-256 |\n|---|---:|---|"
    return "\n".join([head, *(f"| {literal(one.name)} | {one.num_bytes:,} | `{one.sha256}` |" for one in files)])


def _change(change: Change) -> str:
    return f"- {literal(change.what)}: {_rows(change.num_rows)}. {literal(change.why)}{_places(change.first_rows)}"


def _finding(finding: Finding) -> str:
    kinds = "".join(f"\n  - {literal(kind)}: {count:,}" for kind, count in finding.kinds)
    fix = f"\n  - {code(finding.fix)}" if finding.fix else ""
    told = f"- **{finding.level}** {literal(finding.check)}: {literal(finding.what)} {literal(finding.means)}"
    return f"{told}{_places(finding.first_rows)}{kinds}{fix}"


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _places(places: tuple[str, ...]) -> str:
    return f" (first: {literal('; '.join(places[:ROWS_NAMED]))})" if places else ""


def literal(text: str) -> str:
    """Text that Markdown draws as it stands, on one line: marks escaped, control characters shown."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|~" else c for c in shown)


def code(text: str) -> str:
    """Text as inline code on one line, in a fence longer than any run of backticks within."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    longest, run = 0, 0
    for c in shown:
        run = run + 1 if c == "`" else 0
        longest = max(longest, run)
    if not longest:
        return f"`{shown}`"
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}"
