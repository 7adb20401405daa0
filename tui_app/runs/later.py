"""What can be asked of a finished run: its key, what it is called, and in a sentence what it does.

The live view's table of keys and the result panel are both made from it. Not here: doing any of it
(`tui_app/screens/results`).
"""

from __future__ import annotations

from typing import NamedTuple


class Later(NamedTuple):
    """One thing to ask. `says` is short enough to stand beside its key; `help` is a sentence."""

    key: str
    action: str
    label: str
    says: str
    help: str


LATER = (
    Later(
        "x",
        "examples",
        "rows",
        "the rows that got better, worse or stayed wrong, with both answers",
        "Every scored row: what was asked, what was wanted, what base and tuned model answered.",
    ),
    Later(
        "e",
        "export",
        "export",
        "make a merged model, a GGUF file, an Ollama model or a notebook of it",
        "Make artifacts of the trained model; each is loaded again and checked. Goes on when you leave.",
    ),
    Later(
        "v",
        "evaluate",
        "score",
        "score other rows, other metrics, or an export beside base and tuned",
        "Score variants on the same rows: base, tuned, merged, GGUF. Goes on when you leave.",
    ),
    Later(
        "w",
        "report",
        "report",
        "the whole run on one page, as Markdown and HTML",
        "Write report.md and report.html with curves and tables into the run's folder.",
    ),
    Later("c", "chat", "chat", "talk to the tuned model, and to its base", "Talk to the tuned model and to its base."),
)
