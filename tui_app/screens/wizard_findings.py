"""What the checks found in the rows, as the wizard tells it: three lines on the page, all of it in a window.

Not here: looking for it (`engine.row_findings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_app.drawing import Line, Role, fit_line, line, literal

if TYPE_CHECKING:
    from data.findings import Finding
    from engine.row_findings import RowFindings

MOST_LINES = 3
ROLES: dict[str, Role] = {"error": "bad", "warning": "warn", "info": "dim"}


def findings_lines(found: RowFindings, width: int, *, most: int = MOST_LINES, ellipsis: str = "…") -> list[Line]:
    """How many there are of each level, then the worst; at most `most` lines, 1 or more."""
    looked = f"in the first {found.num_rows:,} rows" if found.is_partial else f"in {found.num_rows:,} rows"
    faults = [one for one in found.findings if one.level != "info"]
    counts = [(level, sum(one.level == level for one in faults)) for level in ROLES]
    told = ", ".join(f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts if count)
    role = ROLES[faults[0].level] if faults else ""
    key = "  d all of it" if found.findings else ""
    head = line(("Checks ", "dim"), (told or "no fault", role), f" {looked}", (key, "dim"))
    lines = [head, *(_finding_line(one) for one in faults[: most - 1])]
    return [fit_line(each, width, ellipsis=ellipsis) for each in lines]


def _finding_line(one: Finding) -> Line:
    place = f"{_line_of(one.first_rows[0])}: " if one.first_rows else ""
    return line((f"  {literal(place + one.what)}", ROLES[one.level]))


def _line_of(place: str) -> str:
    """ "rows.jsonl, line 9 (as rows.jsonl, line 2)" -> "line 9" """
    return place.partition(" (as ")[0].rpartition(", ")[2]


def findings_text(found: RowFindings) -> str:
    """Every finding with why it matters, where it is and the command that mends it."""
    looked = f"the first {found.num_rows:,} rows; a run reads all" if found.is_partial else f"{found.num_rows:,} rows"
    told = [f"Looked at {looked}.", ""]
    for one in found.findings:
        told += [f"{one.level}: {one.what}", f"  {one.means}"]
        told += [f"  {count:,} x {kind}" for kind, count in one.kinds]
        told += [f"  {place}" for place in one.first_rows]
        told += [f"  {one.fix}"] if one.fix else []
        told.append("")
    return "\n".join(told)
