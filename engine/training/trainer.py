"""SFTTrainer as finetui drives it: sealed checkpoints, exact eval loss, the CPU's fast loss or the full logits'.

Not here: building the model and the arguments (`attempt`, `arguments`), events and commands (`callbacks`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import Trainer, TrainerControl

from engine import checkpoints
from engine.checkpoints import Checkpoint, Progress
from engine.errors import ModelError
from engine.training import lean_dora as lean
from engine.training import rank_states, shared_casts
from engine.training.dataset_files import lines_of
from engine.training.frozen_head_loss import frozen_head_loss
from engine.training.ranks import Ranks
from engine.training.rendering import IGNORED
from engine.training.row_order import sampler_of
from engine.training.sharding import ShardedTrainer
from engine.training.sharing import make_ready, share, through

LINES = "lines"
"""Under this name a batch carries where its rows stand in their source, up to the model's door."""


@dataclass(frozen=True, slots=True)
class WithLines:
    """A collator whose batches say which rows they are made of; `line` of a row is optional."""

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        lines = [line for row in rows for line in lines_of(row)]
        return {**self.collate([{name: row[name] for name in row if name != "line"} for row in rows]), LINES: lines}


class RunTrainer(ShardedTrainer):
    """One attempt's trainer.

    `folder` gets the sealed checkpoints, `key` says which plans may continue them, `on_sealed` is told of each
    with the seconds it took, `on_phase` of what is done between steps. `progress` goes into each checkpoint; its
    warm-up of an optimizer that began anew is multiplied into the schedule. `total_steps` is the last step of the
    whole run. `num_tokens` counts real tokens since it was last set to 0; `data_seconds` is how long the running step
    waited for its rows, `lines` are their lines in the train split's source, all micro-batches' in order.
    """

    _name = "SFT"

    def __init__(
        self,
        *arguments: Any,
        folder: Path,
        key: dict[str, Any],
        keep: int,
        on_sealed: Callable[[Checkpoint, float], None],
        on_phase: Callable[[str], None],
        total_steps: int,
        fused_loss: bool = True,
        lean_dora: bool = False,
        train_sampling_strategy: str = "random",
        ranks: Ranks | None = None,
        **named: Any,
    ) -> None:
        self.ranks = ranks or Ranks()
        super().__init__(*arguments, **named)
        self.data_collator = WithLines(self.data_collator)  # type: ignore[has-type]
        self.folder, self.key, self.keep = folder, key, keep
        self.on_sealed, self.on_phase = on_sealed, on_phase
        self.total_steps, self.fused_loss = total_steps, fused_loss
        self.train_sampling_strategy = train_sampling_strategy
        self.progress = Progress(num_rows=len(self.train_dataset), num_ranks=self.ranks.size)
        if lean_dora and lean.install(self.model) == 0:
            raise ModelError(
                "Lean DoRA found no DoRA layer in the model.",
                means="The adapter is not the one that was asked for.",
                remedy="Set adapter.lean_dora = false, and please report the model.",
            )
        if self.args.device.type == "cpu":
            shared_casts.install(self.model)
        if self.args.fp16:
            # TRL casts adapters of a 4-bit base to bfloat16, which the float16 gradient scaler refuses.
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.float()
        self.num_tokens = 0
        self.data_seconds = 0.0
        self.lines: tuple[int, ...] = ()
        self.last_sealed_step = -1
        fits_head = fused_loss and self.args.device.type == "cpu" and not self.is_fsdp_enabled
        self.head = self._frozen_head() if fits_head else None
        if self.ranks.size > 1:
            make_ready(self.model)

    def get_batch_samples(self, *arguments: Any, **named: Any) -> Any:
        """The micro-batches of the next step, timed."""
        started = time.monotonic()
        batches = super().get_batch_samples(*arguments, **named)
        self.data_seconds = time.monotonic() - started
        self.lines = tuple(line for batch in batches[0] for line in batch[LINES])
        return batches

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        chosen = sampler_of(self.train_sampling_strategy, rows, self.args)
        return super()._get_train_sampler(rows) if chosen is None else chosen

    def _set_signature_columns_if_needed(self) -> None:
        """The columns that reach the collator: the rows' lines too."""
        super()._set_signature_columns_if_needed()
        columns: list[str] = self._signature_columns  # type: ignore[has-type]
        if "line" not in columns:
            self._signature_columns = [*columns, "line"]

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A batch on the device, less what is no business of the model."""
        prepared: dict[str, Any] = super()._prepare_inputs(
            {name: value for name, value in inputs.items() if name != LINES}
        )
        return prepared

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """On CPU with a frozen head, one pass over the labelled positions; otherwise TRL's fused head.

        Without `fused_loss`, the model's own loss of its full logits.
        """
        if model.training:
            mask = inputs.get("attention_mask")
            self.num_tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        if not self.fused_loss:
            return self._full_logits_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.head is None or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        decoder, weight = self.head
        passed = {name: value for name, value in inputs.items() if name != "labels"}
        targets = inputs["labels"][:, 1:]
        labelled = targets != IGNORED

        def total() -> torch.Tensor:
            with self.accelerator.autocast():  # accelerate wraps the whole model's forward only, which is not called
                hidden = decoder(**passed, use_cache=False).last_hidden_state[:, :-1]
                return frozen_head_loss(hidden[labelled], weight, targets[labelled])

        loss = total() if model is self.model else through(model, total)
        if num_items_in_batch is None:
            return loss / labelled.sum().clamp(min=1)
        # The count is that of all ranks, and DDP takes the mean of their gradients.
        return loss * self.accelerator.num_processes / torch.as_tensor(num_items_in_batch).clamp(min=1)

    def _full_logits_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool, num_items: Any) -> Any:
        """transformers' own way: logits of every position at once, and the model's loss of them."""
        passed = {**inputs, "use_cache": False}
        if self.aux_loss_enabled:
            passed["output_router_logits"] = True
        if num_items is None or self.model_accepts_loss_kwargs:
            return Trainer.compute_loss(self, model, passed, return_outputs, num_items)
        # A model that cannot be told the count gives the mean over this batch's own.
        mean, outputs = Trainer.compute_loss(self, model, passed, True, None)
        loss = mean * (inputs["labels"][:, 1:] != IGNORED).sum() / torch.as_tensor(num_items).clamp(min=1)
        loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Mean loss per labelled token over the whole eval split, however it falls into batches."""
        started = time.monotonic()
        self.on_phase("eval")
        if self.ranks.alone:
            loss = self.mean_loss(self.get_eval_dataloader())
        else:
            size = self.args.per_device_eval_batch_size
            mine = share(self.eval_dataset, size, self.data_collator, self.ranks)
            sums = self.ranks.figures(self.summed_loss(mine))
            loss = sum(total for total, _ in sums) / max(sum(count for _, count in sums), 1)
        metrics = {"eval_loss": loss, "eval_seconds": time.monotonic() - started}
        control: TrainerControl = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        self.on_phase("between steps")
        return metrics

    def mean_loss(self, batches: Iterable[dict[str, Any]]) -> float:
        """Mean loss per labelled token over collated batches, forward only. The model is left in its mode."""
        total, count = self.summed_loss(batches)
        return total / max(count, 1)

    def summed_loss(self, batches: Iterable[dict[str, Any]]) -> tuple[float, int]:
        """Loss summed over the labelled tokens of collated batches of this rank, and how many these are."""
        was_training = self.model.training
        self.model.eval()
        total, count = 0.0, 0
        try:
            with torch.no_grad():
                for batch in batches:
                    inputs = self._prepare_inputs(batch)
                    with self.accelerator.autocast():  # before the first step the model is not wrapped yet
                        loss = self.compute_loss(self.model, inputs, num_items_in_batch=torch.tensor(1))
                    total += float(loss) / self.accelerator.num_processes
                    count += int((inputs["labels"][:, 1:] != IGNORED).sum())
        finally:
            self._metrics["eval"].clear()
            self.model.train(was_training)
        return total, count

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LRScheduler:
        """The recipe's schedule; where the optimizer began anew, its warm-up multiplied in."""
        scheduler: LRScheduler = super().create_scheduler(num_training_steps, optimizer)
        at, over = self.progress.rewarmed_at, self.progress.rewarmup_steps
        if over and isinstance(scheduler, LambdaLR):
            scheduler.lr_lambdas = [functools.partial(_rewarmed, given, at, over) for given in scheduler.lr_lambdas]
        return scheduler

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        scheduler = self.lr_scheduler
        if checkpoint is None or not isinstance(scheduler, LambdaLR):
            return
        # The rate of the next step as this schedule has it: stored is that of the one the checkpoint was made under.
        factors = [given(scheduler.last_epoch) for given in scheduler.lr_lambdas]
        rates = [rate * factor for rate, factor in zip(scheduler.base_lrs, factors, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        scheduler._last_lr = rates

    def take_over(self, checkpoint: Checkpoint) -> None:
        """Load the weights of a checkpoint that already holds the last step."""
        self._load_from_checkpoint(str(checkpoint.path))
        checkpoints.require_there(checkpoint.path)
        self.state.global_step = self.last_sealed_step = checkpoint.step

    def save_now(self) -> None:
        """Write a checkpoint of the last finished step, unless it is already there."""
        if self.state.global_step != self.last_sealed_step:
            self._save_checkpoint(self.model, trial=None)

    def let_go_of_optimizer(self) -> None:
        """Give the memory of its state and of gradients to what comes after the last step."""
        self.model.zero_grad(set_to_none=True)
        holders: tuple[Any, ...] = (self, self.callback_handler)
        for holder in holders:
            holder.optimizer = holder.lr_scheduler = None
        self.accelerator.free_memory()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        started = time.monotonic()
        self.on_phase("save")
        Trainer._save_checkpoint(self, model, trial)  # TRL's own would also write a model card
        step = self.state.global_step
        staged = Path(self.args.output_dir) / f"checkpoint-{step}"
        sealed = Checkpoint(self.folder / staged.name, step, 0)
        if self.ranks.is_first:
            states = [checkpoints.random_states_file(rank, self.ranks.size) for rank in range(1, self.ranks.size)]
            progress = replace(self.progress, without=tuple(name for name in states if not (staged / name).exists()))
            self.on_phase("save")  # again: a run that was moved meanwhile has only a part of the files at the old place
            sealed = checkpoints.seal(staged, self.folder, step, self.key, progress)
            checkpoints.prune(self.folder, self.keep)
        self.ranks.wait()
        self.last_sealed_step = step
        self.on_phase("between steps")
        self.on_sealed(sealed, time.monotonic() - started)

    def _save_rng_state(self, output_dir: str) -> None:
        """Of every rank; of those that are gone, what they left of the step."""
        save = super()._save_rng_state
        if not self.ranks.alone:
            rank_states.save_everyone(save, self.ranks, Path(output_dir))
            return
        save(output_dir)
        if self.ranks.folder is not None:
            rank_states.collect(self.ranks, self.ranks.folder, self.state.global_step, Path(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """The last file of a checkpoint that is read, right before the first step. Raises RunDirError if it is gone."""
        super()._load_rng_state(checkpoint)
        if checkpoint is not None:
            checkpoints.require_there(Path(checkpoint))

    def store_flos(self) -> None:
        """Count them without the others where these are gone."""
        if self.ranks.alone:
            self.state.total_flos += self.current_flos  # type: ignore[has-type]
            self.current_flos = 0
        else:
            super().store_flos()

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


def _rewarmed(given: Callable[[int], float], start: int, over: int, step: int) -> float:
    """A schedule's factor for the step after `step`, led up linearly over `over` steps from `start` on."""
    return given(step) * min(1.0, (step - start + 1) / (over + 1)) if step >= start else given(step)


def _base(model: Any) -> Any:
    """The transformers model, inside its adapter if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
