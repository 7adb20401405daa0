"""What a recipe takes of a machine that is not here: a card or none, which cards hold it, how much RAM.

Not here: this machine's own plan (`plan`), and how an engine writes these needs down (`slurm`, `skypilot`).
"""

from __future__ import annotations

import dataclasses

from engine.cards import CARDS
from engine.errors import RecipeError
from engine.hardware import Hardware, emulate
from engine.jobs.job import Needs
from engine.model_shape import ModelShape
from engine.plan import plan
from engine.recipe import Recipe
from engine.recipe_sections import DistributedSection
from engine.units import GIB

LIBRARIES_BYTES = 6 * GIB
"""RAM for the libraries, the rows and the page cache of one process; torch with CUDA maps 3 to 4 GiB of it."""
ESTIMATE_ERROR = 1.33
"""The closed form can be a third off (`memory`)."""


def needs_of(recipe: Recipe, hardware: Hardware, shape: ModelShape | None, *, uses_card: bool) -> Needs:
    """What one host of the job has to have. Memory by the closed form: no dry run is made for a machine elsewhere.

    Raises RecipeError for a recipe that can run on no CPU, where it is to use one.
    """
    processes = 1 if recipe.distributed.nproc_per_node == "auto" else recipe.distributed.nproc_per_node
    alone = recipe.model_copy(update={"distributed": DistributedSection.model_validate({})})
    if not uses_card:
        prediction = plan(alone, dataclasses.replace(hardware, gpus=()), shape).memory
        if prediction is None:
            return Needs(False, None)
        return Needs(False, processes * (int(prediction.needed_bytes * ESTIMATE_ERROR) + LIBRARIES_BYTES))
    if shape is None:
        return Needs(True, None)
    # Weights pass through RAM on their way to the card, in 4 bytes a parameter at most.
    return Needs(True, processes * (4 * shape.num_parameters + LIBRARIES_BYTES), _cards(alone, hardware, shape))


def _cards(recipe: Recipe, hardware: Hardware, shape: ModelShape) -> tuple[str, ...]:
    found = []
    for card in CARDS:
        emulated = emulate(hardware, card.key)
        try:
            prediction = plan(recipe, emulated, shape).memory
        except RecipeError:  # an ability that the card lacks
            continue
        gpu = emulated.best_gpu
        if prediction is not None and gpu is not None and prediction.needed_bytes * ESTIMATE_ERROR <= gpu.free_bytes:
            found.append(card.key)
    return tuple(found)


def is_meant_for_cpu(recipe: Recipe) -> bool:
    """Whether the recipe's own sentence about its machine says that it needs no card: `… no GPU.`"""
    return "no gpu" in recipe.hardware.lower()
