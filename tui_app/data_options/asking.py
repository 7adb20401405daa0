"""Rows that nobody can tell the meaning of: on a terminal their meaning is asked, everywhere else it is an error.

Plain numbered lines on stderr, so that TERM=dumb and a pipe behind stdout both work. What rows may mean is guessed in
`data/understanding/column_guesses`; not here: the options that say it (`rows`).
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from data.errors import DataError
from data.formats import all_formats
from data.loading import AUTO, Rows, Shape
from data.understanding.undecided import Proposal, UndecidedError
from tui_app.data_text.in_options import in_options
from tui_app.plain import one_line

QUESTION = "A number, a format, NEW=OLD names, a template, or Enter to leave: "


def can_ask(environ: Mapping[str, str] | None = None) -> bool:
    """Whether somebody sits there to answer: stdin and stderr are a terminal, and this is no CI job."""
    in_ci = (os.environ if environ is None else environ).get("CI", "").lower() not in ("", "0", "false")
    return not in_ci and sys.stdin.isatty() and sys.stderr.isatty()


def typed(prompt: str) -> str:
    """A line from the terminal, "" at its end. `input` may write the prompt to stdout, which may be a file."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def understood(opened: Callable[[Shape], Rows], shape: Shape, answer_from: Callable[[str], str] | None) -> Rows:
    """The rows, opened with the shape; where that cannot be told, with the one that `answer_from` gives.

    Raises UndecidedError in the words of the command line where there is nobody to ask, or no answer.
    """
    try:
        return opened(shape)
    except UndecidedError as fault:
        undecided = fault
    if answer_from is None:
        raise undecided.in_options()
    for line in _question(undecided):
        _say(line)
    while text := answer_from(QUESTION):
        proposal = _meant(text, undecided)
        if proposal is None:
            _say(f"! {one_line(text)} is none of them.")
            continue
        try:
            rows = opened(_answered(shape, proposal))
        except UndecidedError as fault:
            undecided = fault
            for line in _question(undecided):
                _say(line)
        except DataError as error:
            told = in_options(error)
            _say(f"! {told.happened} {told.means}".replace("\n", " "))
        else:
            _say(f"next time: {proposal.options}")
            return rows
    raise undecided.in_options()


def _answered(shape: Shape, proposal: Proposal) -> Shape:
    """The shape with the answer in it; its system message stays, and so do new column names that it does not touch."""
    columns = {new: old for new, old in shape.columns.items() if old not in proposal.columns.values()}
    named = AUTO if proposal.template is not None else proposal.format or AUTO
    return replace(shape, format=named, columns={**columns, **proposal.columns}, template=proposal.template)


def _question(undecided: UndecidedError) -> list[str]:
    told = [undecided.happened, "What do these rows mean?" if undecided.proposals else "Say what these rows mean."]
    for number, proposal in enumerate(undecided.proposals, start=1):
        told.append(f"  {number}. {_in_words(proposal)}")
        told += [f"     {proposal.example}"] if proposal.example else []
    return told


def _in_words(proposal: Proposal) -> str:
    """What is proposed, as one reads it: "frage is the prompt, antwort is the completion"."""
    said = [f"{old} is the {new}" for new, old in proposal.columns.items()]
    said += [f"the format {proposal.format}"] if proposal.format else []
    said += [f"the template {proposal.template}"] if proposal.template else []
    return ", ".join(said)


def _meant(text: str, undecided: UndecidedError) -> Proposal | None:
    """What a typed line stands for: a proposal by its number, a format by its name, a template, or NEW=OLD names."""
    if text.isdecimal():
        return undecided.proposals[int(text) - 1] if 0 < int(text) <= len(undecided.proposals) else None
    if text in all_formats():
        return Proposal(format=text)
    if "{" in text:
        return Proposal(template=text.replace("\\n", "\n").replace("\\t", "\t"))
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        return None
    return Proposal(columns={new: old for new, _, old in pairs}) if all(new and old for new, _, old in pairs) else None


def _say(text: str) -> None:
    """One line of ours on stderr, folded at words; what comes from rows shows its control characters."""
    from tui_app.fronts.folding import folded  # what it stands on takes half a second to load, for a question

    indent = len(text) - len(text.lstrip()) + (3 if text.lstrip()[:1].isdigit() else 0)
    sys.stderr.write("\n".join(folded(text, indent=indent)) + "\n")
