"""All checks over a dataset in one pass: what they found, and which rows.

    report = check(rows, others={"eval.jsonl": Rows("eval.jsonl")}, work_dir=folder)
    report.findings                       worst first: check, level, number of rows, first places, a command that mends
    report.has_errors, report.has_warnings
    flagged(rows, ["duplicates"], folder)["duplicates"]    the row numbers (`ReadRow.line`) that --drop leaves out
    repairs()["control-characters"](text)                  the mended text, for --clean

Rows are held one block at a time; what must be known of all rows lies in `work_dir`, about 60 bytes a row (1 kB where
near-duplicates are looked for). Not here: what is looked for (`checks`), and counting tokens (it needs a model).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from data.checks import Check, all_checks
from data.errors import DataError
from data.findings import LEVELS, Finding
from data.loading import ReadRow, Rows
from data.looking import PAIRS_KEPT, Block, Found, Limits, Looking, Setup
from data.many_rows.key_index import RowNumbers
from data.nearest import listed
from data.places import Places

__all__ = ["Limits", "Places", "Report", "RowSource", "check", "check_names", "flagged", "repairs"]

ROWS_PER_BLOCK, CHARACTERS_PER_BLOCK = 64, 1 << 18

Progress = Callable[[int], None]


class RowSource(Protocol):
    """What is checked: rows that can be gone through again, as those of `Rows`."""

    dataset: str

    def __iter__(self) -> Iterator[ReadRow]: ...


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks found in one dataset, worst first. `rows` holds the row numbers of each of the `findings`.

    `findings` may be longer than `rows`: what is found elsewhere is put behind, without row numbers. `fix_all` is the
    one command line that mends all that can be mended; "" where a finding's own `fix` does.
    """

    num_rows: int
    num_usable: int
    findings: tuple[Finding, ...]
    rows: tuple[RowNumbers, ...]
    places: Places
    notes: tuple[str, ...]
    fix_all: str = ""

    @property
    def has_errors(self) -> bool:
        return any(finding.level == "error" for finding in self.findings)

    @property
    def has_warnings(self) -> bool:
        return any(finding.level == "warning" for finding in self.findings)

    def with_more(self, findings: Iterable[Finding], note: str) -> Report:
        """The same with findings that have no row numbers here, and a note ("" for none)."""
        notes = (*self.notes, note) if note else self.notes
        return replace(self, findings=(*self.findings, *findings), notes=notes)

    def with_notes(self, first: Iterable[str]) -> Report:
        """The same with these notes before the others."""
        return replace(self, notes=(*first, *self.notes))

    def numbered(self) -> Iterator[tuple[Finding, RowNumbers]]:
        """The findings with row numbers."""
        return zip(self.findings, self.rows, strict=False)

    def to_json(self, most_rows: int = 0) -> dict[str, Any]:
        """Plain dict; each finding with its first `most_rows` rows as [file, line]."""
        findings = [finding.to_json() for finding in self.findings]
        for told, (_, numbers) in zip(findings, self.numbered(), strict=False):
            told["rows"] = [list(self.places.of(number)) for number in islice(numbers, most_rows)]
        counts = {"num_rows": self.num_rows, "num_usable": self.num_usable}
        return counts | {"findings": findings, "fix_all": self.fix_all, "notes": list(self.notes)}


def check(
    rows: RowSource,
    *,
    others: Mapping[str, RowSource] | None = None,
    limits: Limits | None = None,
    work_dir: Path,
    named: str = "",
    progress: Progress = lambda _: None,
) -> Report:
    """Go through the rows once, and through those of `others` (by what to call them), with every check.

    `others` are only held against the rows: what stands in both. `work_dir` is an empty folder. `named` are the words
    that name the rows on a command line; without it, the dataset string. `progress` is told rows read, now and then.
    Raises DataError where rows cannot be read, and OSError where the disk is full.
    """
    others, limits = others or {}, limits or Limits()
    places = [Places() for _ in range(len(others) + 1)]
    names = (rows.dataset, *others)
    running = _started(all_checks(), limits, work_dir, names)
    counts = [0, 0]
    for side, dataset in enumerate((rows, *others.values())):
        for block in blocks(dataset, side, places[side]):
            for looking in running.values():
                looking.look(block)
            if side == 0:
                counts = [counts[0] + block.num_rows, counts[1] + len(block.usable)]
            progress(block.num_rows)
    told: list[tuple[Finding, RowNumbers]] = []
    notes: list[str] = []
    ways: dict[str, dict[str, None]] = {"drop": {}, "clean": {}}
    words = named or shlex.quote(rows.dataset)
    for name, looking in running.items():
        found, note = looking.finish()
        for one in found:
            if one.count:
                if way := _way(name, one):
                    ways[way][name] = None
                told.append((_finding(name, one, places, words, limits), one.rows))
        notes += [note] if note else []
    told.sort(key=lambda pair: (LEVELS.index(pair[0].level), -pair[0].num_rows, pair[0].check, pair[0].what))
    findings, numbers = tuple(finding for finding, _ in told), tuple(row_numbers for _, row_numbers in told)
    return Report(counts[0], counts[1], findings, numbers, places[0], tuple(notes), _fix_all(words, ways))


def check_names() -> tuple[str, ...]:
    """The checks whose rows can be left out with --drop."""
    return tuple(name for name, module in all_checks().items() if module.IS_DROPPABLE)


def flagged(
    rows: Rows,
    names: Collection[str],
    work_dir: Path,
    *,
    limits: Limits | None = None,
    progress: Progress = lambda _: None,
) -> dict[str, RowNumbers]:
    """The row numbers (`ReadRow.line`) that each named check finds, from one pass; `work_dir` is an empty folder.

    Near-duplicates are looked for among all rows when named. Raises DataError for a name that is none of `check_names`.
    """
    if unknown := [name for name in names if name not in check_names()]:
        raise DataError(
            f"There is no check {listed(unknown)} that rows can be left out by.",
            means="No row was looked at.",
            remedy=f"The checks are {', '.join(check_names())}.",
        )
    chosen = {name: all_checks()[name] for name in dict.fromkeys(names)}
    limits = limits or replace(Limits(), near_rows=None)
    running = _started(chosen, limits, work_dir, (rows.dataset,))
    for block in blocks(rows, 0, Places()):
        for looking in running.values():
            looking.look(block)
        progress(block.num_rows)
    flags: dict[str, RowNumbers] = {}
    for name, looking in running.items():
        found, _ = looking.finish()
        flags[name] = found[0].rows if len(found) == 1 else _union([one.rows for one in found])
    return flags


def repairs() -> dict[str, Callable[[str], str]]:
    """What --clean can do to a text, by the check that finds it."""
    modules: dict[str, Any] = dict(all_checks())
    return {name: module.repaired for name, module in modules.items() if hasattr(module, "repaired")}


def blocks(rows: RowSource, side: int, places: Places) -> Iterator[Block]:
    """The rows, some at a time."""
    block = Block(side)
    for row in rows:
        places.add(row)
        block.add(row)
        if block.num_rows >= ROWS_PER_BLOCK or block.num_characters >= CHARACTERS_PER_BLOCK:
            yield block
            block = Block(side)
    if block.num_rows:
        yield block


def _started(checks: Mapping[str, Check], limits: Limits, work_dir: Path, names: tuple[str, ...]) -> dict[str, Looking]:
    running: dict[str, Looking] = {}
    for name, module in checks.items():
        running[name] = module.start(Setup(limits, work_dir / name, names))
    return running


def _union(sets: list[RowNumbers]) -> RowNumbers:
    whole = RowNumbers()
    for one in sets:
        for number in one:
            whole.add(number)
    return whole


def _finding(name: str, found: Found, places: list[Places], words: str, limits: Limits) -> Finding:
    module: Any = all_checks()[name]
    count = found.count
    like = {
        number: (side, other) for number, side, other in sorted(found.pairs)[: max(PAIRS_KEPT, limits.places_named)]
    }
    first = []
    for number, _ in zip(found.rows, range(limits.places_named), strict=False):
        pair = like.get(number)
        first.append(places[0].words(number) + (_like(number, *pair, places) if pair else ""))
    way = _way(name, found)
    return Finding(
        check=found.name or name,
        level=found.level or module.LEVEL,
        what=f"{found.title or module.TITLE}: {count:,} row{'' if count == 1 else 's'}.",
        means=found.means or module.MEANS,
        num_rows=count,
        first_rows=tuple(first),
        kinds=tuple(sorted(found.kinds.items(), key=lambda kind: (-kind[1], kind[0]))),
        fix=_fix(words, {way: [name]}) if way else "",
    )


def _way(name: str, found: Found) -> str:
    """The option of `finetui data convert` that mends it: "clean" or "drop"; "" where there is none."""
    module: Any = all_checks()[name]
    if hasattr(module, "repaired") and module.mends(found.kinds):
        return "clean"
    return "drop" if module.IS_DROPPABLE and found.name in ("", name) else ""


def _fix(words: str, ways: Mapping[str, Iterable[str]]) -> str:
    options = [f"--{way} {','.join(names)}" for way, names in ways.items() if names]
    return " ".join(["finetui data convert", words, *options, "-o clean.jsonl"])


def _fix_all(words: str, ways: Mapping[str, Mapping[str, None]]) -> str:
    """All of it at once; "" where that is no more than one thing. What is dropped is not cleaned as well."""
    kept = {"drop": ways["drop"], "clean": {name: None for name in ways["clean"] if name not in ways["drop"]}}
    return _fix(words, kept) if sum(map(len, kept.values())) > 1 else ""


def _like(number: int, side: int, other: int, places: list[Places]) -> str:
    """Which row it is like; its file only where that is another one."""
    file, line = places[side].of(other)
    return f" (as line {line})" if file == places[0].of(number)[0] else f" (as {file}, line {line})"
