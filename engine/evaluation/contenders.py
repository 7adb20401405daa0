"""The models compared: the base, the base with what was trained, and a merged one. One of them is in memory at a time.

Not here: the weights' way to the folder, GGUF files (`engine.gguf_runtime`), and training.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RunDirError
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json


def precision(plan: Plan) -> tuple[str, str]:
    """(type of the weights, autocast) for generating under a plan.

    Where training casts to bfloat16 for every product, the weights are held in bfloat16 at once: the same
    products without a cast per token. float16 keeps its autocast, whose float32 sums avoid overflow.
    """
    if plan.autocast == "bfloat16" and plan.dtype in ("float32", "bfloat16"):
        return "bfloat16", "none"
    return plan.dtype, plan.autocast


@dataclass(slots=True)
class Contenders:
    """Loads what is asked for, and lets go of what cannot be used for it."""

    run: RunDir
    recipe: Recipe
    plan: Plan
    _base: Any = None

    def base(self) -> Any:
        """The base model, loaded once. Raises ModelError."""
        if self._base is None:
            self._base = self._load(Path(read_json(self.run.model)["folder"]), quantized=self.plan.method == "qlora")
        return self._base

    def tuned(self, folder: Path | None = None) -> Any:
        """The trained model, or that of an adapter in `folder`. An adapter is built on the base, which is used up."""
        folder = folder or self.run.adapter
        if not (folder / "adapter_config.json").exists():
            return self.whole(folder)
        model, self._base = self.base(), None
        use_dora = self.plan.use_dora or read_json(folder / "adapter_config.json").get("use_dora")
        return with_adapter(model, folder, merge=self.plan.method != "qlora" and not use_dora)

    def whole(self, folder: Path) -> Any:
        """The model in a folder of its own, for example the merged one. What was in memory is let go of first."""
        self.free()
        return self._load(folder, quantized=False)

    def free(self) -> None:
        """Give back the memory of the base, on a card too."""
        import torch

        self._base = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load(self, folder: Path, *, quantized: bool) -> Any:
        from engine.training.model_loading import load_model

        dtype, _ = precision(self.plan)
        return load_model(
            folder,
            dtype=dtype,
            quantization=self.recipe.model.bnb_4bit_quant_type if quantized else None,
            double_quant=self.plan.double_quant,
            compute_dtype=self.plan.autocast if self.plan.autocast != "none" else "float32",
            attn_implementation=self.plan.padded_attention,
            device=self.plan.device,
            trust_remote_code=self.recipe.model.trust_remote_code,
        )


def with_adapter(model: Any, folder: Path, *, merge: bool) -> Any:
    """`model` with the adapter in `folder`, changed in place. Merged, it is as fast as the base alone.

    Raises RunDirError when the adapter cannot be read.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as fault:
        raise RunDirError(
            f"The trained adapter in {folder} cannot be read: {fault}",
            means="A file of it was changed, cut short or removed since training wrote and checked it.",
            remedy="Remove that folder, then `finetui resume` the run: it is made again from the last checkpoint.",
        ) from fault
    # Its layers are built into the base, which takes the arguments that a loop of our own needs.
    return (adapted.merge_and_unload() if merge else adapted.get_base_model()).eval()
