"""Models of which each rank holds a part: FSDP2 through accelerate, on cards and on CPUs.

Checkpoints and results have the same files as those of one process, so that any strategy continues any other's:
all ranks put the whole tensors together, the first one writes. Not here: what a part takes in memory
(`ranks.rank_memory`), whether to share the model out (`ranks.planning`), ranks that hold all of it (`sharing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors import safe_open
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from trl import SFTTrainer

from engine.errors import RunDirError
from engine.plan import Plan


def fsdp_arguments(plan: Plan) -> dict[str, Any]:
    """What `SFTConfig` is told of FSDP; nothing for other strategies.

    Each decoder layer is one unit, freed again after its forward pass. Gradient checkpointing stays the model's own:
    FSDP2 does not gather a layer twice for it, and names and layers remain as they are.
    """
    if plan.strategy != "fsdp2":
        return {}
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "reshard_after_forward": True,
            "cpu_ram_efficient_loading": False,
            "state_dict_type": "FULL_STATE_DICT",
        },
    }


def quant_storage(plan: Plan) -> str:
    """The type that 4-bit codes are stored as: where parts are sent, that of computing, which FSDP casts to."""
    if plan.strategy != "fsdp2":
        return "uint8"
    return plan.autocast if plan.autocast != "none" else plan.dtype


class ShardedTrainer(SFTTrainer):
    """SFTTrainer whose model may be spread over the ranks; the same as SFTTrainer where it is not."""

    def create_accelerator_and_postprocess(self) -> None:
        """accelerate applies FSDP on accelerators only, and ignores it in silence on CPUs: there it is told so."""
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if self.args.fsdp_plugin_args is not None and state.distributed_type == DistributedType.MULTI_CPU:
            plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            if self.accelerator.mixed_precision != "no":
                plugin.set_mixed_precision(self.accelerator.mixed_precision)
            state.__dict__ |= {"distributed_type": DistributedType.FSDP, "fsdp_plugin": plugin}
            self.is_fsdp_enabled = True
        if self.is_fsdp_enabled and (policy := state.fsdp_plugin.mixed_precision_policy) is not None:
            # accelerate's would round the loss that is told to three digits, and add gradients up in 16 bits.
            state.fsdp_plugin.mixed_precision_policy = replace(policy, reduce_dtype=torch.float32, output_dtype=None)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.is_fsdp_enabled:
            unify(self.model)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Every rank calls it; the first one writes the same files that one process would."""
        if not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call)
            return
        weights = whole_state(self.model)
        if self.args.should_save:
            self._save(output_dir or self.args.output_dir, state_dict=weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = whole_optimizer_state(self.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model = self.model if model is None else model
        if not is_sharded(model):
            plugged, self.is_fsdp_enabled = self.is_fsdp_enabled, False  # files and model are those of one process
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            self.is_fsdp_enabled = plugged
            return
        load_weights(model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self.is_fsdp_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        folder = Path(checkpoint)
        if (folder / OPTIMIZER_NAME).is_file():
            load_optimizer(self.optimizer, torch.load(folder / OPTIMIZER_NAME, "cpu", weights_only=True))
            self.lr_scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))


def is_sharded(model: Any) -> bool:
    """Whether a rank holds a part of it only."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def unify(model: Any) -> None:
    """Trained parameters in one type, float32 where they are of several: FSDP2 puts those of a layer together."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if len({parameter.dtype for parameter in trained}) > 1:
        for parameter in trained:
            parameter.data = parameter.data.float()


def whole_state(model: Any) -> dict[str, torch.Tensor]:
    """The trained weights of a model, whole and in RAM, by their names in its `state_dict`; for full training all.

    Every rank must call it; only the first keeps anything (the others' is empty). One tensor at a time is whole on the
    device. Tensors that are tied stay one.
    """
    keeps = _is_first()
    names = set(_trained_names(model))
    done: dict[int, torch.Tensor] = {}
    found = {}
    for name, value in model.state_dict().items():
        if name not in names:
            continue
        key = id(value._local_tensor) if isinstance(value, DTensor) else id(value)
        if key not in done:
            done[key] = _whole(value, keeps=keeps)
        found[name] = done[key]
    return found if keeps else {}


def whole_optimizer_state(optimizer: Any) -> dict[str, Any]:
    """`optimizer.state_dict()` as one process has it, in RAM. Every rank must call it; the first gets it."""
    keeps = _is_first()
    state = optimizer.state_dict()
    whole = {
        number: {name: _whole(value, keeps=keeps) if torch.is_tensor(value) else value for name, value in entry.items()}
        for number, entry in state["state"].items()
    }
    return {**state, "state": whole} if keeps else {}


def load_weights(model: Any, folder: Path) -> None:
    """Put a checkpoint's whole weights into this rank's part of a model. Raises RunDirError where some are missing."""
    targets = dict(_stored_names(model))
    with torch.no_grad():
        for name, value in _tensors(folder, targets):
            _fill(targets.pop(name), value)
    if targets:
        raise RunDirError(
            f"The checkpoint {folder} lacks {len(targets)} trained tensors, for example {min(targets)}.",
            means="Training cannot go on from it with the model spread over several processes.",
            remedy='Set distributed.nproc_per_node = 1 or strategy = "ddp", or start anew.',
        )


def load_optimizer(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Put one process's optimizer state into the parts that this rank has."""
    inner = getattr(optimizer, "optimizer", optimizer)
    parameters = [parameter for group in inner.param_groups for parameter in group["params"]]
    parts = {
        number: {
            name: _part(value, parameters[int(number)]) if torch.is_tensor(value) else value
            for name, value in entry.items()
        }
        for number, entry in state["state"].items()
    }
    inner.load_state_dict({**state, "state": parts})


def _part(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor shaped as a parameter; others (a count of steps) as they are."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _fill(target: torch.Tensor, whole: torch.Tensor) -> None:
    if isinstance(target, DTensor):
        part = _part(whole.to(target.dtype), target)
        assert isinstance(part, DTensor)
        target.to_local().copy_(part.to_local())
    else:
        target.copy_(whole)


def _whole(value: torch.Tensor, *, keeps: bool) -> torch.Tensor:
    whole: torch.Tensor = value.full_tensor().detach() if isinstance(value, DTensor) else value.detach()
    if not keeps:
        return torch.empty(0)
    # On a CPU a parameter that was not spread out would be the live one: what is written must not move.
    return whole.cpu() if whole.device.type != "cpu" else whole.clone()


def _trained_names(model: Any) -> Iterator[str]:
    """Names in the state dict of what training changed: an adapter's tensors, or the whole model."""
    if not hasattr(model, "peft_config"):
        yield from model.state_dict()
        return
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    yield from (name for name in model.state_dict() if name in trained)


def _stored_names(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """(name in a checkpoint's files, this rank's part) of every trained tensor; tied ones once."""
    state = model.state_dict()
    trained = {name: state[name] for name in _trained_names(model)}
    if hasattr(model, "peft_config"):
        from peft import get_peft_model_state_dict

        yield from get_peft_model_state_dict(model, state_dict=trained, save_embedding_layers=False).items()
        return
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    yield from ((name, value) for name, value in trained.items() if name not in tied)


def _tensors(folder: Path, wanted: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    names = set(wanted)
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in names & set(file.keys()):
                yield name, file.get_tensor(name)


def _is_first() -> bool:
    import torch.distributed as dist

    return not dist.is_initialized() or dist.get_rank() == 0
