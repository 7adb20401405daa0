"""Who can be asked again on a trained run's rows, and by what they are judged.

Reads the run's recipe and looks which artifacts there are: for a thread. Not here: scoring (`engine/evaluation`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.run_dir import RunDir
from engine.run_state import RunState
from engine.units import format_seconds
from tui_app.runs.offers import Asking, Offer

if TYPE_CHECKING:
    from engine.recipe import Recipe

ROW_COUNTS = (50, 200)
"""How many rows may be asked instead of all."""
ONE_EXAMPLE = "base, 1 example"
"""Offered where the recipe asks for no examples in the prompt; else it is the recipe's number of them."""
METRIC_TEXTS = {
    "exact_match": "The answer, or the part that the recipe takes out of it, is the expected one.",
    "perplexity": "How surprised the variant is by the expected answers: 1 is not at all. Needs no generating.",
    "stop_rate": "Share of answers that ended by themselves, not at the longest length.",
    "answer_length": "Mean length of an answer in tokens.",
    "tokens_per_second": "How fast answers come on this machine.",
    "rouge": "Words and word pairs that answer and expected text have in common (ROUGE-1, -2, -L).",
    "bleu": "Runs of one to four words in common, as for translations (BLEU, chrF).",
    "chrf": "Runs of characters in common, as for translations.",
    "token_f1": "Words in common, whatever their order.",
    "command_validity": "Whether the answer is a command that the recipe's grammar takes.",
    "code_execution": "Whether the code in the answer passes the row's tests, in a process with limits.",
}


def evaluate_offers(run: RunDir, state: RunState) -> list[Offer]:
    """Variants, row sets, how many rows, and metrics. Raises FinetuiError where the recipe cannot be read."""
    from engine.evaluation.metrics import families
    from engine.evaluation.request import Asked
    from engine.evaluation.variants import variants_of
    from engine.recipe import Recipe

    recipe = Recipe.load(run.recipe)
    offers: list[Offer] = []
    has_examples = "examples" in recipe.evaluation.baselines
    for number, variant in enumerate(variants_of(run, recipe, Asked(num_examples=None if has_examples else 1))):
        heading = "" if number else "Who is asked"
        text = "Answers are kept: rows that were answered before are not asked again."
        title = variant.title if has_examples or not variant.has_examples else ONE_EXAMPLE
        offers.append(Offer(f"variant:{variant.name}", title, _before(state, variant.name), text, "", heading))
    own = [("", "all rows", "of the run's test split")]
    most = max((score.num_rows for score in state.scores if score.dataset == "test"), default=None)
    fewer = [count for count in ROW_COUNTS if most is None or count < most]
    own += [(str(count), f"{count} rows", "the first of them: quicker, wider intervals") for count in fewer]
    for number, (count, label, detail) in enumerate(own):
        heading = "" if number else "How many rows"
        text = "All variants answer the same rows, so they are compared row by row."
        offers.append(Offer(f"rows:{count}", label, detail, text, "", heading, one_of="rows"))
    usual = usual_metrics(recipe)
    words = sorted(families().items(), key=lambda each: each[0] not in usual)
    for number, (word, metrics) in enumerate(words):
        problems = [problem for metric in metrics for problem in metric.problems(recipe.evaluation)]
        reason = "{}: {} {}".format(*problems[0]) if problems else ""
        heading = "" if number else "What is measured"
        label = word.replace("_", " ")
        detail = "usual" if word in usual else ""
        offers.append(Offer(f"metric:{word}", label, detail, METRIC_TEXTS.get(word, ""), reason, heading))
    return offers


def usual_marks(offers: Sequence[Offer]) -> set[str]:
    """Everybody, all rows, what is usually measured."""
    return {
        offer.name
        for offer in offers
        if not offer.impossible
        and (offer.name == "rows:" or offer.name.startswith("variant:") or offer.detail == "usual")
    } - {"variant:base_examples"}


def usual_metrics(recipe: Recipe) -> set[str]:
    """What the recipe measures, and what is measured besides it when somebody asks."""
    from engine.evaluation.request import DEFAULT_METRICS

    return {*recipe.evaluation.metrics, *DEFAULT_METRICS}


def _before(state: RunState, variant: str) -> str:
    score = next((each for each in state.scores if each.variant == variant and each.dataset == "test"), None)
    if score is None:
        return "not scored yet"
    return f"{score.num_correct} of {score.num_rows} right before, took {format_seconds(score.seconds)}"


def evaluate_asking(run: RunDir, offers: Sequence[Offer], marked: Collection[str]) -> Asking:
    """What these marks ask for."""
    order = [offer.name.partition(":")[::2] for offer in offers if offer.name in marked and not offer.impossible]
    variants = [name for kind, name in order if kind == "variant"]
    metrics = [name for kind, name in order if kind == "metric"]
    count = next((name for kind, name in order if kind == "rows"), "")
    problem = "" if variants and metrics else f"mark at least one {'metric' if variants else 'variant'}"
    words = ["finetui", "eval", run.reference]
    for name in variants:
        words += ["--variant", name]
    for name in metrics:
        words += ["--metric", name]
    words += ["--max-rows", count] if count else []
    is_new = any(offer.label == ONE_EXAMPLE for offer in offers)
    words += ["--examples", "1"] if is_new and "base_examples" in variants else []
    title = f"score {len(variants)} variant{'s' * (len(variants) != 1)} again"
    return Asking("evaluate", title, () if problem else tuple(words), lambda: _settings(run, words[2:]), problem)


def _settings(run: RunDir, words: Sequence[str]) -> Mapping[str, Any]:
    """The request's arguments, as `finetui eval` makes them of these words. Raises FinetuiError."""
    from argparse import ArgumentParser

    from tui_app.result_commands import evaluate

    parser = ArgumentParser()
    evaluate.add(parser)
    return evaluate.prepared(run, parser.parse_args(list(words))).to_json()
