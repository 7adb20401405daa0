"""The second step: the base model. Recent ones, bundled ones, those near by and in the hub's cache are offered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tui_app.steps.draft import Draft
from tui_app.steps.fields import advanced, asked
from tui_app.steps.schema import Choice, Step

if TYPE_CHECKING:
    from tui_app.steps.surroundings import Nearby, Surroundings

MODEL = "model.name_or_path"


def model_choices(draft: Draft, surroundings: Surroundings) -> Sequence[Choice]:
    """The draft's own first, then recent, bundled, near by, cached and known ones; each once."""
    present = draft.value(MODEL)
    first = [Choice(present, present, draft.reason(MODEL))] if present else []
    return once(
        first,
        offered(surroundings.recent_models),
        offered(surroundings.bundled_models),
        offered(surroundings.near_models),
        offered(surroundings.cached_models),
        known_models(),
    )


def offered(found: Iterable[Nearby]) -> Sequence[Choice]:
    """What lies around, as choices whose values `--set` reads as they are."""
    from tui_app.recipe_values import as_text

    return [Choice(as_text(each.value), each.label, each.detail) for each in found]


def known_models() -> Sequence[Choice]:
    """Models of the hub that finetui knows the dimensions of, small ones first."""
    from engine.known_models import KNOWN_MODELS
    from engine.model_shape import model_shape
    from engine.units import format_bytes

    sizes = {name: model_shape(known.config).num_parameters for name, known in KNOWN_MODELS.items() if "/" in name}
    return [
        Choice(name, name, f"hub, about {format_bytes(2 * size)}", f"Licence: {KNOWN_MODELS[name].licence}.")
        for name, size in sorted(sizes.items(), key=lambda each: each[1])
    ]


def once(*groups: Iterable[Choice]) -> Sequence[Choice]:
    """All choices in order, each value once, with the first name and every detail that is told of it."""
    found: dict[str, Choice] = {}
    for choice in (each for group in groups for each in group):
        earlier = found.setdefault(choice.value, choice)
        if earlier is not choice:
            label = choice.label if earlier.label == earlier.value else earlier.label
            detail = ", ".join(dict.fromkeys(part for part in (earlier.detail, choice.detail) if part))
            found[choice.value] = Choice(choice.value, label, detail, earlier.explanation or choice.explanation)
    return tuple(found.values())


STEP = Step(
    "model",
    "Model",
    "The base model: what is there before your rows change it.",
    (
        asked(MODEL, "Base model", "path", choices=model_choices),
        advanced("model.revision", "Revision"),
        advanced("model.dtype", "Weights in memory", "choice"),
        advanced("model.attn_implementation", "Attention", "choice"),
        advanced("model.trust_remote_code", "Run the model's own code", "yes_no"),
        advanced("model.offline", "Stay offline", "yes_no"),
    ),
)
