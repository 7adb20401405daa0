"""`finetui trust MODEL`: confirm by its name a model whose code may run, take that back, or list those confirmed.

Not here: what asks for such code, and its refusal (`engine/foreign_code`).
"""

from __future__ import annotations

import argparse
import json

from engine.errors import RecipeError
from engine.foreign_code import KINDS, Kind, confirm, confirmed, plain_name
from tui_app.plain import one_line

HELP = "allow by name the Python code of a model to run"
USAGE = "[--answers] [--remove] [--json] [MODEL]"
TOLD: dict[Kind, str] = {
    "code": "Python that came with it",
    "answers": "Python that it writes when it is scored",
}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="hub id or folder, as model.name_or_path names it")
    parser.add_argument("--answers", action="store_true", help="code that the model writes, not code that came with it")
    parser.add_argument("--remove", action="store_true", help="no longer")
    parser.add_argument("--json", action="store_true", help="the confirmed names as one JSON object")
    parser.epilog = (
        "A recipe with model.trust_remote_code or evaluation.run_code starts only with\n"
        "models confirmed here. Read a model's .py files first: they can do whatever\n"
        "your account can. Without MODEL: the names that are confirmed."
    )


def run(options: argparse.Namespace) -> int:
    kind: Kind = "answers" if options.answers else "code"
    if options.model is None and (options.answers or options.remove):
        raise RecipeError("No MODEL is named.", means="Nothing was changed.", remedy="finetui trust --help")
    if options.model is not None:
        name = plain_name(options.model)
        if options.remove and name not in confirmed()[kind]:
            raise RecipeError(
                f"{one_line(name)} is not confirmed.",
                means="Nothing was changed.",
                remedy="`finetui trust` lists the names that are.",
            )
        confirm(kind, options.model, allowed=not options.remove)
    names = confirmed()
    if options.json:
        print(json.dumps(names))
    elif options.model is not None:
        print(one_line(f"{'no longer runs' if options.remove else 'may run from now on'}: {name}: {TOLD[kind]}"))
    else:
        lines = [one_line(f"{name}: {TOLD[each]}") for each in KINDS for name in names[each]]
        print("\n".join(lines or ["No model's code may run."]))
    return 0
