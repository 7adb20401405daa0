"""Which columns of which weights matter for the rows a model was trained on: what quantizing may round by.

Measured on the merged model in torch: the mean of squared inputs of each column of every linear layer of the blocks,
over training rows as training saw them. What llama.cpp's imatrix program computes on plain text; here the text is the
user's own, formatted as it will be asked. Not here: the file (`importance_file`), and whether it helped
(`engine.exporters.verification`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DataError, ModelError
from engine.gguf_metadata import read_gguf_metadata
from engine.gguf_runtime.importance_file import Importance

if TYPE_CHECKING:
    import torch

DEFAULT_TOKENS = 4096
"""Enough for means over hundreds of columns to settle; 20 s for 135 million weights on two cores."""

Progress = Callable[[int, int], None]


def training_rows(
    dataset: Path, *, max_length: int, on_overflow: str, num_tokens: int = DEFAULT_TOKENS, seed: int = 0
) -> list[list[int]]:
    """Rows of the train split as tokens, drawn at random by `seed`, until they hold `num_tokens` tokens.

    Raises DataError when the split is empty or gone.
    """
    from engine.training.dataset_files import read_split

    try:
        split = read_split(dataset, "train", max_length=max_length, on_overflow=on_overflow)
    except OSError as fault:
        raise _no_rows(str(fault)) from fault
    if not len(split):
        raise _no_rows("the train split is empty")
    order = random.Random(seed).sample(range(len(split)), len(split))
    rows: list[list[int]] = []
    held = 0
    for place in order:
        if held >= num_tokens:
            break
        rows.append(list(split[place]["input_ids"]))
        held += len(rows[-1])
    return rows


def measure(model: Any, gguf_file: Path, rows: Sequence[Sequence[int]], source: str, progress: Progress) -> Importance:
    """Run the rows through a loaded transformers model and sum what comes in; names are those of `gguf_file`.

    The order of a weight's rows may differ between the two (Llama's q and k), that of its columns never does. Raises
    ModelError where none of the model's layers is found in the file.
    """
    import torch

    places = _places(model, gguf_file)
    sums: dict[str, torch.Tensor] = {}
    blocks = getattr(model, model.base_model_prefix)  # without the head, whose logits nobody needs
    with _sums_of_squares(places, sums), torch.inference_mode():
        for done, row in enumerate(rows, start=1):
            blocks(input_ids=torch.tensor([list(row)], device=model.device), use_cache=False)
            progress(done, len(rows))
    found = {name: value.to(torch.float32).cpu().numpy() for name, value in sums.items()}
    return Importance(found, sum(map(len, rows)), len(rows), source)


def _places(model: Any, gguf_file: Path) -> dict[str, Any]:
    """Name in the GGUF file -> linear layer, for the layers within blocks."""
    import gguf
    import torch

    values, tensors = read_gguf_metadata(gguf_file)
    widths = {tensor.name: tensor.shape[0] for tensor in tensors if len(tensor.shape) == 2}
    architectures = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    named = gguf.get_tensor_name_map(
        architectures[values["general.architecture"]], int(model.config.get_text_config().num_hidden_layers)
    )
    found = {}
    for path, module in model.named_modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        name = named.get_name(path) or named.get_name(path.replace("language_model.", ""))
        weight = f"{name}.weight"
        if name and name.startswith("blk.") and widths.get(weight) == module.in_features:
            found[weight] = module
    if not found:
        raise ModelError(
            f"None of the model's layers is found in {gguf_file.name}.",
            means="The importance of its columns cannot be measured.",
            remedy="Export without the matrix: --set export.imatrix=false",
        )
    return found


@contextmanager
def _sums_of_squares(places: dict[str, Any], sums: dict[str, torch.Tensor]) -> Iterator[None]:
    """While this lasts, what goes into each layer is squared and added up in `sums`, per column."""
    import torch

    def watching(name: str) -> Callable[..., None]:
        def watch(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            seen = inputs[0].detach().float().flatten(0, -2).square().sum(0, dtype=torch.float64)
            sums[name] = sums[name] + seen if name in sums else seen

        return watch

    hooks = [module.register_forward_pre_hook(watching(name)) for name, module in places.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _no_rows(said: str) -> DataError:
    return DataError(
        f"There are no training rows to measure the importance matrix on: {said}.",
        means="It says which columns matter for your rows, so it needs some of them.",
        remedy="Export without it: --set export.imatrix=false",
    )
