"""Which format a sample of rows has, how sure that is, and why. Reading and converting rows live elsewhere.

What columns of unknown names may mean is guessed in `column_guesses`; a guess is proposed, never taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from data.conversation import Conversation, Example, PlainText
from data.errors import DataError
from data.formats import all_formats, format_named, known_columns, one_line_each
from data.nearest import listed, nearest
from data.rows import Row
from data.understanding.column_guesses import composed, guesses, with_example
from data.understanding.format_sample import Sample, columns_of
from data.understanding.undecided import Proposal, UndecidedError

__all__ = ["Detection", "Proposal", "UndecidedError", "check_new_names", "columns_of", "detect"]

Sureness = Literal["certain", "likely", "unsure"]

_UNTOLD = "It cannot be told what is asked and what is answered."
LEAST_SHARE = 0.5
"""Below this share of matching rows the format is called unknown: most rows would be set aside."""
_TURN_MARKS = ("### Human:", "### Instruction:", "<|im_start|>", "[INST]", "Human:", "USER:")
MOST_OF_ANOTHER = 0.25
"""From this share of rows of another format on, somebody has to say that they are to be set aside."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The format by name ("template" for a template), and why.

    `certainty` is the share of sampled rows that have its columns (0-1). `sureness` weighs what stands in them too.
    `unused` are the columns that the format does not read.
    """

    format: str
    certainty: float
    reason: str
    sureness: Sureness = "certain"
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "unused", tuple(self.unused))  # JSON gives a list

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return asdict(self) | {"unused": list(self.unused)}


def detect(rows: Sequence[Row], lines: Sequence[int] = (), given: Mapping[str, str] | None = None) -> Detection:
    """The one format that most of the sampled rows have.

    `lines` are the rows' lines in their files, for the reason; `given` the new column names that were applied already
    (new -> old). Raises UndecidedError when none or several are, DataError when there is no row.
    """
    if not rows:
        raise DataError(
            "There is no readable row to tell the format from.",
            means="Nothing could be trained.",
            remedy="Check that data.dataset names the right file, and the rejected rows and their reasons.",
        )
    sample = Sample(rows, lines)
    counts = sample.counts()
    if not counts or sample.num_without() > LEAST_SHARE * len(rows):
        raise _unknown(sample, given or {})
    best, num_best = counts.most_common(1)[0]
    others = {name: count for name in counts if name != best and (count := sample.num_apart(name, best))}
    rivals = [name for name, count in counts.items() if name != best and count >= LEAST_SHARE * len(rows)]
    differing = [name for name in rivals if not sample.agree(best, name) and name not in others]
    if differing:
        raise _ambiguous(sample, [best, *differing])
    if num_best < LEAST_SHARE * len(rows) or max(others.values(), default=0) >= MOST_OF_ANOTHER * len(rows):
        raise _mixed(sample, counts)
    return _told(sample, best, others)


def check_new_names(name: str, given: Mapping[str, str]) -> None:
    """Raises DataError where a column is given a name that the named format does not read."""
    reads = format_named(name).COLUMNS
    for new in given:
        if new not in reads:
            near = nearest(new, reads)
            raise DataError(
                f"data.columns names the column {new!r}, and {name} does not read it.",
                means=f"It reads {listed(reads)}.",
                remedy="Correct data.columns" + (f"; perhaps {near[0]!r} is meant." if near else "."),
            )


def _told(sample: Sample, name: str, others: Mapping[str, int]) -> Detection:
    """The detection with its reason: what was counted first, then what speaks against it, then what is left aside."""
    matching, total = sample.counts()[name], len(sample.rows)
    usable = sample.usable(name)
    doubts, oddities = _doubts(usable), _oddities(usable)
    used = [column for column in sample.columns if column in sample.read[name]]
    share = "every sampled row has" if matching == total else f"{matching} of {total} sampled rows have"
    said = [f"{share} the columns of {name} ({', '.join(map(repr, used))})", *_of_others(sample, others)]
    for failure, count in sample.failures(name).most_common(1):
        unusable = matching - len(usable)
        more = "" if count == unusable else ", mostly"
        remedy = " (a template takes numbers)" if failure.endswith(("is a number, not text", "false, not text")) else ""
        number = f"{unusable} of them not" if usable else "none"
        said.append(f"{number} usable{more}: {failure}{remedy}")
    said += doubts + oddities
    rivals = [other for other in sample.made if other not in (name, *others) and _is_meant_too(sample, name, other)]
    differing = [other for other in rivals if not _say_the_same(sample, name, other)]
    for each, what in (
        (differing, "say something else"),
        ([one for one in rivals if one not in differing], "add nothing"),
    ):
        said += [f"the columns of {' and of '.join(each)} are there too and {what}"] if each else []
    said += [note] if (note := getattr(all_formats()[name], "NOTE", "")) else []
    unused = tuple(column for column in sample.columns if column not in sample.read[name])
    said += [f"not used: {listed(unused, 6)}"] if unused else []
    sureness: Sureness = "certain"
    if matching < total or len(usable) < 0.95 * matching or differing or oddities:
        sureness = "likely"
    if matching < 0.8 * total or len(usable) < 0.5 * matching or doubts:
        sureness = "unsure"
    return Detection(name, matching / total, "; ".join(said), sureness, unused)


def _is_meant_too(sample: Sample, name: str, other: str) -> bool:
    """Whether some row that means `name` makes an example by `other` too."""
    found = ((place, one) for place, one in sample.made[other].items() if not isinstance(one, str))
    return any(name in sample.meant[place] for place, _ in found)


def _say_the_same(sample: Sample, name: str, other: str) -> bool:
    both = ((sample.made[name].get(place), one) for place, one in sample.made[other].items())
    return all(
        isinstance(first, str) or isinstance(second, str) or first is None or first.answer == second.answer
        for first, second in both
    )


def _of_others(sample: Sample, others: Mapping[str, int]) -> list[str]:
    """How many rows are of other formats or of none, each with the first line."""
    said = [f"{_has(count)} those of {name} (first in line {sample.first(name)})" for name, count in others.items()]
    without = [line for names, line in zip(sample.meant, sample.lines, strict=True) if not names]
    if without:
        said.append(f"{_has(len(without))} those of no format (first in line {without[0]})")
    return said


def _has(count: int) -> str:
    return f"{count} {'has' if count == 1 else 'have'}"


def _doubts(usable: Sequence[Example]) -> list[str]:
    """What in the texts speaks against their being requests and answers in this order."""
    pairs = [(one.request.strip(), one.answer.strip()) for one in usable if isinstance(one, Conversation)]
    if len(pairs) < 3:
        return []
    said = []
    asking = [sum(text.endswith(("?", "？")) for text in texts) for texts in zip(*pairs, strict=True)]
    if asking[1] > len(pairs) / 2 and asking[0] < len(pairs) / 10:
        said.append("the answers end in question marks and the requests do not: perhaps they are swapped")
    if sum(request == answer for request, answer in pairs) > len(pairs) / 2:
        said.append("most answers repeat their request")
    return said


def _oddities(usable: Sequence[Example]) -> list[str]:
    """What somebody should know of the texts, though the format is the right one."""
    answers = [one.answer for one in usable if isinstance(one, Conversation)]
    if len(answers) >= 10 and len(set(answers)) == 1:
        return ["every answer is the same"]
    texts = [one.text for one in usable if isinstance(one, PlainText)]
    for mark in _TURN_MARKS:
        if texts and sum(mark in text for text in texts) > len(texts) / 2:
            return [f"the texts hold turns ({mark}), and as plain text all of them are trained"]
    return []


def _unknown(sample: Sample, given: Mapping[str, str]) -> UndecidedError:
    rows = [row for row, names in zip(sample.rows, sample.meant, strict=True) if not names]
    columns = columns_of(rows)
    found = [composed(proposal, given) for proposal in guesses(rows)]
    who = "The rows" if len(rows) == len(sample.rows) else f"{len(rows)} of {len(sample.rows)} sampled rows"
    happened = f"{who} have none of the known formats: their columns are {listed(columns) or 'none'}."
    known, hint = known_columns(), ""
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"No format reads the column {name!r} that data.columns names" + (
                f"; perhaps {near[0]!r} is meant." if near else "."
            )
    if {"parent_id", "text", "role"} <= set(columns):
        hint, found = "Rows with a parent_id are single messages of a tree; join them to conversations first.", []
    return UndecidedError(happened, found, means=_UNTOLD, remedy=hint, last=_formats_told())


def _ambiguous(sample: Sample, names: Sequence[str]) -> UndecidedError:
    return UndecidedError(
        f"The rows can be read as {' and as '.join(sorted(names))}: their columns are {listed(sample.columns)}.",
        [with_example(Proposal(name), sample.rows) for name in sorted(names)],
        means=_UNTOLD,
        remedy="Say which one is meant.",
        last=_formats_told(),
    )


def _mixed(sample: Sample, counts: Counter[str]) -> UndecidedError:
    parts = [
        f"{_has(count)} the columns of {name} (first in line {sample.first(name)})"
        for name, count in counts.most_common()
    ]
    parts += _of_others(sample, {})
    return UndecidedError(
        f"Of {len(sample.rows)} sampled rows, {', '.join(parts)}.",
        [with_example(Proposal(name), sample.rows) for name, _ in counts.most_common()],
        means="Read as one format, the rows of the others would be set aside.",
        remedy="Write the rows of each format to a file of their own, or say which ones alone are to be used.",
    )


def _formats_told() -> str:
    return "\n".join(["The formats and their columns:", *one_line_each()])
