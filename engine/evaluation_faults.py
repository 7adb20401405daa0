"""Contradictions in what a recipe says about its evaluation, as far as they show without loading a metric.

Not here: the metrics themselves (`engine.evaluation.metrics`), which say what else is in their way when they are asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from data.bounded_pattern import compiled
from data.command_line.named_grammars import bundled_grammar, is_bundled
from data.errors import DataError
from engine.recipe_sections import EvaluationSection


def evaluation_faults(settings: EvaluationSection) -> Iterator[tuple[str, str, str]]:
    """(field of the section, what is wrong, what to do) for every contradiction."""
    for field, pattern in (("answer_pattern", settings.answer_pattern), ("group_pattern", settings.group_pattern)):
        if pattern is not None and (fault := _pattern_fault(pattern)):
            yield field, fault, "It needs one group in parentheses."
    if "examples" in settings.baselines and settings.group_pattern is None:
        yield (
            "baselines",
            "examples takes one row per group, but group_pattern is unset.",
            "Set evaluation.group_pattern, or leave examples out.",
        )
    if "code_execution" in settings.metrics and not settings.run_code:
        yield (
            "run_code",
            "code_execution runs the code that the models write, and nobody has allowed that.",
            "Set evaluation.run_code = true, or take code_execution out of evaluation.metrics.",
        )
    if "command_validity" in settings.metrics and settings.grammar is None:
        yield (
            "grammar",
            "command_validity needs to know which commands there are.",
            'Name a TOML grammar or "generator:venvy", or take command_validity out of evaluation.metrics.',
        )
    if settings.grammar is not None and is_bundled(settings.grammar):
        try:
            bundled_grammar(settings.grammar)
        except DataError as fault:
            yield "grammar", fault.happened, fault.remedy


def _pattern_fault(pattern: str) -> str:
    try:
        groups = compiled(pattern).groups
    except ValueError as fault:
        return f"is no regular expression: {fault}."
    return "" if groups == 1 else f"has {groups} groups."
