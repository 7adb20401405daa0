"""`finetui new`, and `finetui` alone: from a model and some rows to a started run, by screens, questions or options."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RecipeError
from engine.hardware import read_hardware
from tui_app.display import front_for, looks_for
from tui_app.plain import ago, printable
from tui_app.steps import draft_file
from tui_app.steps.answering import answered, first_draft
from tui_app.steps.draft import METHOD, OWN, SIZE, Draft
from tui_app.steps.surroundings import Surroundings, gather

if TYPE_CHECKING:
    from tui_app.fronts.walk import Outcome

ANSWERS = (("model", "model.name_or_path"), ("dataset", "data.dataset"), ("size", SIZE), ("method", METHOD))
"""Options and the questions that they answer, in the order of the steps."""


def new(options: argparse.Namespace) -> int:
    is_complete = bool(options.start or options.save or options.yes)
    if options.name and not (options.start or options.yes):
        raise RecipeError(
            "--name is what a run is to be called, and nothing is started by this command line.",
            means="Nothing was done.",
            remedy="Add --start or --yes; a recipe names its runs with run.name.",
        )
    choice, terminal = front_for(options, answers_complete=is_complete)
    if is_complete:
        return carry_out(complete_draft(options), options)
    if choice.front == "none":
        raise not_answered(choice.reason, options)
    if choice.front == "screens":
        looks = looks_for(terminal, options)
        from tui_app.screens.wizard import run_wizard

        given = draft_of(options, Surroundings(hardware=read_hardware())) if names_anything(options) else None
        return run_wizard(given, looks)
    print("looking at this machine ...", file=sys.stderr)
    surroundings = gather()
    outcome = asked(options, surroundings, is_plain=choice.front == "plain")
    options.plain = True  # what began as lines goes on as lines
    return carry_out_outcome(outcome, options)


def asked(options: argparse.Namespace, surroundings: Surroundings, *, is_plain: bool) -> Outcome:
    """Ask line by line, beginning with the options, the draft of an earlier visit, or what suits the machine."""
    from tui_app.fronts.line import ask_in_lines, wants_line_draft
    from tui_app.fronts.plain import ask_plainly, wants_plain_draft

    draft = draft_of(options, surroundings)
    saved = None if names_anything(options) else draft_file.saved_draft()
    if saved is not None and saved.note:
        print(printable(saved.note), file=sys.stderr)
    if saved is not None and saved.draft is not None:
        question = f"Go on with the draft that was saved {ago_of(saved.age_seconds)}?"
        if (wants_plain_draft if is_plain else wants_line_draft)(question):
            draft = saved.draft
        else:
            draft_file.drop()
    return ask_plainly(draft, surroundings) if is_plain else ask_in_lines(draft, surroundings)


def ago_of(seconds: float) -> str:
    return ago(time.time() - seconds)


def names_anything(options: argparse.Namespace) -> bool:
    """Whether the command line says anything about the recipe."""
    return bool(options.preset or options.model or options.dataset or options.size or options.method or options.set)


def draft_of(options: argparse.Namespace, surroundings: Surroundings) -> Draft:
    """The draft that the options describe. Raises RecipeError for an override that is none."""
    if options.preset:
        draft = Draft(options.preset)
    elif options.model or options.dataset:
        draft = Draft(OWN)
    else:
        draft = first_draft(surroundings)
    given = [(question, text) for option, question in ANSWERS if (text := getattr(options, option)) is not None]
    for override in options.set:
        from engine.recipe import values_of  # late, as the screens' first frame does not wait for pydantic

        values_of("", overrides=[override])
        name, _, text = override.partition("=")
        given.append((name.strip(), text))
    for question, text in given:
        draft = answered(draft, question, text, surroundings)
    return draft


def complete_draft(options: argparse.Namespace) -> Draft:
    """The draft of a command line that leaves nothing to ask. Raises RecipeError naming what lacks."""
    if not options.yes and not options.preset and not (options.model and options.dataset):
        raise not_answered("Not everything that a run needs is named.", options)
    needs_ranking = not options.preset and not options.model and not options.dataset
    surroundings = gather() if needs_ranking else Surroundings(hardware=read_hardware())
    draft = draft_of(options, surroundings)
    draft.recipe()
    return draft


def not_answered(why: str, options: argparse.Namespace) -> RecipeError:
    """The error that names the options which would have answered."""
    lacking = []
    if not options.preset:
        names = [f"--{name}" for name in ("model", "dataset") if getattr(options, name) is None]
        lacking += [" and ".join(names) + " (or --preset NAME)"] if names else []
    if not (options.start or options.save):
        lacking.append("--start (or --save FILE)")
    return RecipeError(
        why,
        means="Nothing was started.",
        remedy=f"Name on the command line: {', '.join(lacking)}. --yes takes what suits this machine for all of it.",
    )


def carry_out(draft: Draft, options: argparse.Namespace) -> int:
    """Save, start or both, as the options say; --yes alone starts."""
    from tui_app.commands.replay import started
    from tui_app.steps.starting import save_recipe, start

    if options.save:
        print(printable(f"recipe written: {save_recipe(draft, Path(options.save))}"))
        if not options.start:
            return 0
    run = start(draft, lambda text: print(printable(text), file=sys.stderr), called=options.name)
    return started(run, options)


def carry_out_outcome(outcome: Outcome, options: argparse.Namespace) -> int:
    """What a person chose at the end of the questions."""
    if outcome.action == "leave":
        return 130
    if outcome.action == "save":
        from tui_app.steps.starting import save_recipe

        assert outcome.path is not None
        written = save_recipe(outcome.draft, outcome.path)
        print(printable(f"recipe written: {written}\nStart it: finetui replay {shlex.quote(str(written))}"))
        draft_file.drop()
        return 0
    return carry_out(outcome.draft, options)


COMMANDS = {"new": new}
