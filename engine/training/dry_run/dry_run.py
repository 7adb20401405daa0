"""The memory of one optimizer step, from a model's configuration alone: no weights, no card.

The real transformers, PEFT and bitsandbytes code runs once on tensors without values; what it allocates goes
through a model of the device's allocator. Meant for a process of its own (`worker`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import PretrainedConfig

from engine.allocator import replay, smallest_capacity
from engine.dry_run_types import DryRun, StepSpec
from engine.model_shape import FAMILIES
from engine.training.dry_run.building import build_model, model_config, rebinding
from engine.training.dry_run.measuring import Measured, measure
from engine.training.dry_run.step import emulated, layer_of, run_step
from engine.training.dry_run.stretching import UnstretchableError, shallow_layers, stand_ins, stretch
from engine.training.dry_run.tracking import Record


def dry_run(config: Mapping[str, Any], spec: StepSpec, *, full_depth: bool = False) -> DryRun:
    """Peak memory of a step of the model that `config` (config.json's layout) describes.

    Raises ModelError for a model that the installed transformers does not know or cannot build.
    """
    started = time.monotonic()
    record, num_trainable, num_parameters = _full(config, spec) if full_depth else _shallow(config, spec)
    measured = measure(record)
    pool = _pool(record, measured, spec.device)
    return DryRun(
        loaded_bytes=measured.loaded_bytes + pool.slack_bytes,
        resident_bytes=measured.resident_bytes + pool.slack_bytes,
        phases=tuple((name, size + pool.slack_bytes) for name, size in measured.phases),
        terms=tuple((name, size + (pool.slack_bytes if name == "weights" else 0)) for name, size in measured.terms),
        peak_bytes=measured.peak_bytes + pool.slack_bytes,
        reserved_bytes=pool.reserved_bytes,
        needed_bytes=pool.needed_bytes,
        expandable_reserved_bytes=pool.expandable_reserved_bytes,
        expandable_needed_bytes=pool.expandable_needed_bytes,
        num_trainable=num_trainable,
        num_parameters=num_parameters,
        seconds=round(time.monotonic() - started, 3),
    )


def _full(config: Mapping[str, Any], spec: StepSpec) -> tuple[Record, int, int]:
    made = _run(model_config(config, spec.attention), spec)
    return made.record, made.num_trainable.total(), made.num_parameters.total()


def _shallow(config: Mapping[str, Any], spec: StepSpec) -> tuple[Record, int, int]:
    """As `_full`, from as few layers as will do. Families whose layers may differ unseen are run in full."""
    whole = model_config(config, spec.attention)
    text = whole.get_text_config()
    if text.model_type not in FAMILIES:
        return _full(config, spec)
    kinds = _layer_kinds(text)
    kept = shallow_layers(kinds)
    if 2 * len(kept) > len(kinds):
        return _full(config, spec)
    stand_in = stand_ins(kinds, kept)
    _keep_layers(text, kept)
    try:
        made = _run(whole, spec)
        return stretch(made.record, stand_in), made.num_trainable.total(stand_in), made.num_parameters.total(stand_in)
    except UnstretchableError:
        return _full(config, spec)


def _layer_kinds(text: PretrainedConfig) -> list[str]:
    """What the configuration says of each layer, one value for layers of which it says the same."""
    depth = text.num_hidden_layers
    lists = [value for value in vars(text).values() if isinstance(value, (list, tuple)) and len(value) == depth]
    return [repr([value[index] for value in lists]) for index in range(depth)]


def _keep_layers(text: PretrainedConfig, kept: list[int]) -> None:
    depth = text.num_hidden_layers
    for name, value in list(vars(text).items()):
        if isinstance(value, (list, tuple)) and len(value) == depth:
            setattr(text, name, [value[index] for index in kept])
    text.num_hidden_layers = len(kept)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Parameters of each layer, and of everything else."""

    by_layer: dict[int, int]
    others: int

    @staticmethod
    def of(sizes: Iterable[tuple[str, int]]) -> _Counts:
        by_layer: dict[int, int] = {}
        others = 0
        for name, size in sizes:
            layer = layer_of(name)
            if layer is None:
                others += size
            else:
                by_layer[layer] = by_layer.get(layer, 0) + size
        return _Counts(by_layer, others)

    def total(self, layers: Iterable[int] | None = None) -> int:
        """Over the model itself, or one that has these layers, some of them several times."""
        return self.others + sum(self.by_layer.get(layer, 0) for layer in (self.by_layer if layers is None else layers))


class _Made(NamedTuple):
    record: Record
    num_trainable: _Counts
    num_parameters: _Counts


def _run(config: PretrainedConfig, spec: StepSpec) -> _Made:
    with FakeTensorMode(allow_non_fake_inputs=True):
        with rebinding(), emulated(spec):
            model, sizes = build_model(config, spec)
        trained = [(name, p.numel()) for name, p in model.named_parameters() if p.requires_grad]
        return _Made(run_step(model, spec), _Counts.of(trained), _Counts.of(sizes))


class _Pool(NamedTuple):
    """What the device's allocator makes of a record. `slack_bytes` are lost in blocks too large for their tensor."""

    slack_bytes: int
    reserved_bytes: int
    needed_bytes: int
    expandable_reserved_bytes: int
    expandable_needed_bytes: int


def _pool(record: Record, measured: Measured, device: str) -> _Pool:
    """A CPU has no pool: what is reserved is what is allocated."""
    peak = measured.peak_bytes
    if device == "cpu":
        return _Pool(0, peak, peak, peak, peak)
    step = max(16 << 20, peak // 200)  # to half a percent
    plain, expandable = replay(record.events), replay(record.events, expandable=True)
    return _Pool(
        plain.peak_allocated_bytes - peak,
        plain.peak_reserved_bytes,
        smallest_capacity(record.events, step=step),
        expandable.peak_reserved_bytes,
        smallest_capacity(record.events, expandable=True, step=step),
    )
