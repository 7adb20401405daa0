"""`finetui chat`: the tuned model, its base beside it, or an artifact; on the screen, in lines or to stdout."""

from __future__ import annotations

import argparse
import sys

from engine.errors import RecipeError
from tui_app.screen_options import add_looks

HELP = "talk to the tuned model, and to its base beside it"
USAGE = "[OPTIONS] [RUN|MODEL]"
NOTES = """\
SIDE is adapter, base, merged, gguf, gguf:TYPE, a .gguf file or another run.
Without RUN the newest finished run answers. Text on stdin is one question.
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{HELP}\n\n{NOTES}"
    parser.add_argument("source", metavar="RUN|MODEL", nargs="?", help="a run; or a folder, bundled:NAME, .gguf file")
    parser.add_argument("--with", dest="side", metavar="SIDE", help="who answers; the adapter unless told otherwise")
    parser.add_argument("--against", metavar="SIDE", help="who answers beside it, for example base")
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="ask this and end; again: the next question")
    parser.add_argument("--system", metavar="TEXT", help="system message; the rows' own unless given, '' for none")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (default)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="only the likeliest tokens of that share")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random choice")
    parser.add_argument("--max-new-tokens", type=int, default=512, metavar="N", help="longest answer (512)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--line", action="store_true", help="line by line, without a screen")
    form.add_argument("--json", action="store_true", help="one JSON object per answer")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    add_looks(parser)
    for action in parser._actions:
        if action.dest in ("ascii", "light", "dark", "no_diff"):
            action.help = argparse.SUPPRESS


def run(options: argparse.Namespace) -> int:
    from engine.chat.settings import Settings
    from engine.chat.sides import sides_of, subject_run

    settings = Settings(options.temperature, options.top_p, options.seed, options.max_new_tokens)
    questions = questions_of(options)
    found = subject_run(options.source)
    sides = sides_of(found, options.side, options.against)
    if questions is None:
        from tui_app.display import front_for, looks_for

        choice, terminal = front_for(options)
        if choice.front == "screens":
            from tui_app.screens.chat import run_chat

            return run_chat(found, sides, looks_for(terminal, options), settings=settings, system=options.system)
    from tui_app.chat_lines import Talk, answer_all, converse

    talk = Talk(sides, settings, options.system)
    try:
        return converse(talk) if questions is None else answer_all(talk, questions, as_json=options.json)
    finally:
        talk.close()


def questions_of(options: argparse.Namespace) -> list[str] | None:
    """What is asked without a person there; None where one is. Raises RecipeError for an empty question."""
    questions: list[str] | None = options.prompt
    if questions is None and not sys.stdin.isatty():
        questions = [sys.stdin.read().rstrip("\n")]
    if questions is None and options.json:
        raise RecipeError("--json needs a question.", remedy="Give --prompt TEXT, or pipe the question in.")
    if questions is not None and not all(question.strip() for question in questions):
        raise RecipeError("The question is empty.", remedy="Give --prompt TEXT, or pipe a question in.")
    return questions
