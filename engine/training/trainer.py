"""SFTTrainer as finetui drives it: sealed checkpoints, exact eval loss, the CPU's fast loss.

Not here: building the model and the arguments (`attempt`, `arguments`), events and commands (`callbacks`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerControl
from trl import SFTTrainer

from engine import checkpoints
from engine.checkpoints import Checkpoint
from engine.training.frozen_head_loss import frozen_head_loss
from engine.training.rendering import IGNORED


class RunTrainer(SFTTrainer):
    """One attempt's trainer.

    `folder` gets the sealed checkpoints, `key` says which plans may continue them, `on_sealed` is told of
    each with the seconds it took. `num_tokens` counts real tokens since it was last set to 0.
    """

    _name = "SFT"

    def __init__(
        self,
        *arguments: Any,
        folder: Path,
        key: dict[str, Any],
        keep: int,
        on_sealed: Callable[[Checkpoint, float], None],
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.folder, self.key, self.keep, self.on_sealed = folder, key, keep, on_sealed
        if self.args.fp16:
            # TRL casts adapters of a 4-bit base to bfloat16, which the float16 gradient scaler refuses.
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()
        self.num_tokens = 0
        self.last_sealed_step = -1
        self.head = self._frozen_head() if self.args.device.type == "cpu" else None

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """On CPU with a frozen head, one pass over the labelled positions; otherwise TRL's fused head."""
        if model.training:
            mask = inputs.get("attention_mask")
            self.num_tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        if self.head is None or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        decoder, weight = self.head
        passed = {name: value for name, value in inputs.items() if name != "labels"}
        targets = inputs["labels"][:, 1:]
        labelled = targets != IGNORED
        with self.accelerator.autocast():  # accelerate wraps the whole model's forward only, which is not called
            hidden = decoder(**passed, use_cache=False).last_hidden_state[:, :-1]
            total = frozen_head_loss(hidden[labelled], weight, targets[labelled])
        count = labelled.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        return total / count.clamp(min=1)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss per labelled token over the whole eval split, however it falls into batches."""
        started = time.monotonic()
        was_training = self.model.training
        self.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for batch in self.get_eval_dataloader():
                inputs = self._prepare_inputs(batch)
                with self.accelerator.autocast():  # before the first step the model is not wrapped yet
                    total += float(self.compute_loss(self.model, inputs, num_items_in_batch=torch.tensor(1)))
                count += int((inputs["labels"][:, 1:] != IGNORED).sum())
        self._metrics["eval"].clear()
        self.model.train(was_training)
        metrics = {"eval_loss": total / max(count, 1), "eval_seconds": time.monotonic() - started}
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def take_over(self, checkpoint: Checkpoint) -> None:
        """Load the weights of a checkpoint that already holds the last step."""
        self._load_from_checkpoint(str(checkpoint.path))
        self.state.global_step = self.last_sealed_step = checkpoint.step

    def save_now(self) -> None:
        """Write a checkpoint of the last finished step, unless it is already there."""
        if self.state.global_step != self.last_sealed_step:
            self._save_checkpoint(self.model, trial=None)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        started = time.monotonic()
        Trainer._save_checkpoint(self, model, trial)  # TRL's own would also write a model card
        step = self.state.global_step
        sealed = checkpoints.seal(Path(self.args.output_dir) / f"checkpoint-{step}", self.folder, step, self.key)
        checkpoints.prune(self.folder, self.keep)
        self.last_sealed_step = step
        self.on_sealed(sealed, time.monotonic() - started)

    def _frozen_head(self) -> tuple[Any, torch.Tensor] | None:
        """(decoder, head weight) where the fast loss computes exactly what the model's own head would."""
        base = _base(self.model)
        head = base.get_output_embeddings()
        bias: torch.Tensor | None = getattr(head, "bias", None)
        plain = isinstance(head, torch.nn.Linear) and bias is None and not head.weight.requires_grad
        if not plain or self.aux_loss_enabled:
            return None
        # Some models scale or cap their logits, each under a name of its own: three tokens tell.
        probe = torch.arange(3, device=self.args.device)[None]
        was_training = base.training
        base.eval()
        with torch.no_grad():
            states = base.get_decoder()(probe, use_cache=False).last_hidden_state
            same = torch.equal(base(probe, use_cache=False).logits, head(states))
        base.train(was_training)
        return (base.get_decoder(), head.weight) if same else None


def _base(model: Any) -> Any:
    """The transformers model, inside its adapter if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
