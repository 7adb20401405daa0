"""The error for rows that nobody can tell the meaning of, with what they may mean, so that a caller can ask.

Finding what they may mean is in `column_guesses`, telling a format in `detection`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data.errors import DataError

RECIPE_WAYS = (
    'Under [data] in the recipe, name the format (format = "alpaca"), give the columns the names it needs\n'
    '(columns = { prompt = "question_text", completion = "reply" }), or put the columns into words\n'
    '(template = "Task: {text}\\nSolution: {code}"; the last field is the answer).'
)
OPTION_WAYS = (
    "Or name the format (--format alpaca), give the columns the names it needs (--column prompt=question_text),\n"
    r"or put the columns into words (--template 'Task: {text}\nSolution: {code}'; the last field is the answer)."
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What rows may mean: a format, new column names (name of the format -> name in the file), or a template.

    `example` is the first row so understood, "request -> answer", for somebody who has to choose.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    example: str = ""

    @property
    def recipe(self) -> str:
        """The lines under [data] of a recipe that say so, joined with "and"."""
        said = [] if self.format is None else [f'format = "{self.format}"']
        if self.columns:
            pairs = ", ".join(f"{new} = {_toml(old)}" for new, old in self.columns.items())
            said.append(f"columns = {{ {pairs} }}")
        if self.template is not None:
            said.append(f"template = {json.dumps(self.template, ensure_ascii=False)}")
        return " and ".join(said)

    @property
    def options(self) -> str:
        """The options of a command that say so, quoted for a shell."""
        said = [] if self.format is None else ["--format", self.format]
        for new, old in self.columns.items():
            said += ["--column", _shell(f"{new}={old}")]
        if self.template is not None:
            said += ["--template", _shell(self.template.replace("\n", "\\n").replace("\t", "\\t"))]
        return " ".join(said)


class UndecidedError(DataError):
    """Rows that cannot be told the meaning of. `proposals` are what they may mean, the likeliest first."""

    def __init__(
        self, happened: str, proposals: Sequence[Proposal], *, means: str, remedy: str = "", last: str = ""
    ) -> None:
        """`remedy` comes before the proposals, `last` behind all that can be done."""
        self.proposals = tuple(proposals)
        self._last = last
        self._first = remedy
        if len(proposals) == 1:
            tried = f"Perhaps {proposals[0].recipe} is meant."
        else:
            tried = "\n".join(["Perhaps one of these is meant:", *(f"  {choice}" for choice in self.choices)])
        parts = (remedy, tried if proposals else "", RECIPE_WAYS, last)
        super().__init__(happened, means=means, remedy="\n".join(part for part in parts if part))

    @property
    def choices(self) -> tuple[str, ...]:
        """The proposals as lines of a recipe."""
        return tuple(proposal.recipe for proposal in self.proposals)

    def in_options(self) -> DataError:
        """The same error for a command line, where options stand for the lines of a recipe."""
        said = [f"  {proposal.options}" for proposal in self.proposals]
        parts = (self._first, "\n".join(["Add one of these options:", *said]) if said else "", OPTION_WAYS, self._last)
        told = UndecidedError(self.happened, self.proposals, means=self.means)
        told.remedy = "\n".join(part for part in parts if part)
        return told


class SwappedColumnError(DataError):
    """New column names the wrong way round: `new` is a column of the rows, and `old` is none."""

    def __init__(self, new: str, old: str, *, means: str) -> None:
        meant = Proposal(columns={old: new})
        super().__init__(
            f"data.columns names the column {old!r}, and no row has it.",
            means=means,
            remedy=f"data.columns is {{ NEW = OLD }}: perhaps {meant.recipe} is meant.",
        )
        self.remedy_in_options = f"--column is NEW=OLD: perhaps {meant.options} is meant."


def _shell(text: str) -> str:
    """Quoted so that a shell gives back the same word, and a screen shows every character of it."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.encode("unicode_escape").decode().replace("'", "\\'")
    return f"$'{escaped}'"


def _toml(text: str) -> str:
    """Single quotes are the only ones that a shell and TOML both take as they are."""
    return f"'{text}'" if text.isprintable() and "'" not in text else json.dumps(text)
