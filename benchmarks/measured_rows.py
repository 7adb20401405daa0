"""Rows measured by others on real cards, as questions to the dry run. Reads the three formats in benchmarks/data.

The protocol of each archive stands in one function; a row that finetui has no method for is `Skipped`, by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.model_configs import config_of
from engine.dry_run_types import StepSpec

T4_CONTEXT_MIB = 140.9
T4_USABLE_MIB = 14912
LONGEST_L40S_BATCH = 645
"""Tokens of the longest row in PEFT's benchmark; it is not published, and was found from one of its rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `measured_mib` is None for a verdict; `survived` is None for anything else."""

    name: str
    kind: Literal["allocated", "reserved", "verdict"]
    config: Mapping[str, Any]
    spec: StepSpec
    measured_mib: float | None = None
    survived: bool | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    name: str
    reason: str


def read_rows(path: Path) -> Iterator[Row | Skipped]:
    """The rows of a file, whose lines may be of different formats."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        name = f"{path.name}:{number}"
        try:
            raw = json.loads(line)
            name = str(raw.get("id", name))
            yield parse(raw, name)
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            yield Skipped(name, f"unreadable: {type(fault).__name__}: {fault}")


def parse(raw: Mapping[str, Any], name: str) -> Row | Skipped:
    """One row of any of the formats. Raises ValueError or KeyError for something else."""
    if "identity" in raw:
        return _verdict(raw, name)
    if "train_config" in raw:
        return _l40s(raw, name)
    return _t4(raw, name)


_DTYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
_T4_OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_torch": "adamw_torch",
    "adamw_torch_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "adamw_bnb_8bit": "adamw_8bit",
    "adamw8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw8bit": "paged_adamw_8bit",
    "sgd": "sgd",
}


def _t4_kernel(implementation: str, dtype: str, backend: str) -> str:
    """What sdpa picks on a T4, which has no flash kernel and no mem-efficient one for bfloat16."""
    if implementation in ("eager", "math"):
        return implementation
    unseen_math = dtype == "bfloat16" and not backend.startswith("EFFICIENT")
    return "math" if unseen_math or backend.startswith("MATH") else "efficient"


def _t4_spec(run: Mapping[str, Any], backend: str = "") -> StepSpec | str:
    """The archive's protocol, a plain loop; or why a run has none of our methods.

    Weights in the run's precision without autocast, all logits with labels, nf4 by way of
    prepare_model_for_kbit_training, adapters in float32. `backend` is the sdpa kernel that was observed.
    """
    quantization, optim = run.get("quantization", "none"), _T4_OPTIMIZERS.get(str(run["optimizer"]).lower())
    rank = run.get("lora_rank")
    if quantization not in ("none", "nf4", "fp4", None):
        return f"quantization {quantization} is not in our methods"
    if optim is None:
        return f"optimizer {run['optimizer']} is not in our methods"
    if run.get("peft_type", "lora").lower() != "lora":
        return f"{run['peft_type']} is not in our methods"
    four_bit = quantization in ("nf4", "fp4")
    dtype = _DTYPES[run.get("precision", "fp16")]
    targets = run.get("lora_targets") or "all-linear"
    return StepSpec(
        device="cuda",
        method="qlora" if four_bit else "lora" if rank else "full",
        dtype=dtype,
        compute_dtype=dtype,
        attention=_t4_kernel(str(run.get("attn_impl", run.get("kernel"))), dtype, backend),
        quant_type=quantization if four_bit else "nf4",
        double_quant=bool(run.get("double_quant", False)),
        r=rank or 16,
        lora_alpha=2 * (rank or 16),
        lora_dropout=run.get("lora_dropout", 0.0),
        target_modules=targets.replace("_", "-") if isinstance(targets, str) else tuple(targets),
        use_dora=bool(run.get("use_dora", False)),
        gradient_checkpointing=bool(run["grad_checkpoint"]),
        optim=optim,
        loss="plain",
        keeps_output=True,
        row_lengths=(run["seq_len"],) * run["batch_size"],
        attention_mask=False,
        clips_gradients=False,
        kbit_upcast=four_bit,
    )


def _t4(raw: Mapping[str, Any], name: str) -> Row | Skipped:
    run, config = raw["run"], config_of(raw["model_id"], raw.get("model_config"))
    label = f"{name} {raw['model_id']} {run.get('attn_impl')} {run.get('quantization')}"
    label += f" {run['batch_size']}x{run['seq_len']}"
    spec = _t4_spec(run, str(raw["measured"].get("sdpa_backend", "")))
    if isinstance(spec, str):
        return Skipped(label, spec)
    if config is None:
        return Skipped(label, "the model's configuration is not known here")
    return Row(label, "allocated", config, spec, measured_mib=raw["measured"]["peak_allocated_mib"])


def _verdict(raw: Mapping[str, Any], name: str) -> Row | Skipped:
    run = raw["identity"]
    label = f"{name} {run['model_id']} {run.get('kernel')} {run['batch_size']}x{run['seq_len']}"
    config = config_of(run["model_id"], raw.get("model_config"))
    spec = _t4_spec(run)
    if isinstance(spec, str):
        return Skipped(label, spec)
    if config is None:
        return Skipped(label, "the model's configuration is not known here")
    return Row(label, "verdict", config, spec, survived=raw["outcome"] == "completed")


_L40S_OPTIMIZERS = {"AdamW": "adamw_torch", "lora-fa": "lora_fa"}
_LORA_DEFAULT_TARGETS = ("q_proj", "v_proj")
# Keys of a LoraConfig that change what is allocated, and that finetui does not set.
_OTHER_LORA = (
    *(
        "lora_bias",
        "use_qalora",
        "use_bdlora",
        "use_velora",
        "velora_config",
        "arrow_config",
        "alora_invocation_tokens",
    ),
    *("modules_to_save", "rank_pattern", "layer_replication", "target_parameters", "trainable_token_indices"),
    *("layers_to_transform", "exclude_modules", "ensure_weight_tying", "kasa_config"),
)


def _l40s(raw: Mapping[str, Any], name: str) -> Row | Skipped:
    """PEFT's method comparison: padded rows under a mask, all logits, sdpa, weights as loaded, adapters in float32."""
    train, adapter = raw["train_config"], raw.get("peft_config")
    label = f"{name} {raw['model_id']}"
    if adapter is not None and adapter["peft_type"] != "LORA":
        return Skipped(label, f"{adapter['peft_type']} is not in our methods")
    other = [key for key in _OTHER_LORA if adapter and adapter.get(key)]
    optim = _L40S_OPTIMIZERS.get(train["optimizer_type"])
    config = config_of(raw["model_id"], raw.get("model_config"))
    if other or optim is None or config is None:
        unknown = other or [train["optimizer_type"]] if optim is None or other else [raw["model_id"]]
        return Skipped(label, f"{', '.join(unknown)} is not in our methods")
    longest = min(LONGEST_L40S_BATCH, train["max_seq_length"])
    rows = train["batch_size"]
    return Row(
        label,
        "reserved",
        config,
        StepSpec(
            device="cuda",
            method="full" if adapter is None else "lora",
            dtype=train["dtype"],
            autocast="bfloat16" if train["use_amp"] else "none",
            attention="flash",
            gradient_checkpointing=train["use_gc"],
            optim=optim,
            loss="plain",
            keeps_output=True,
            row_lengths=(longest, *(longest - 1,) * (rows - 1)),
            **_lora(adapter or {}, train["dtype"] if not train["autocast_adapter_dtype"] else "float32"),
        ),
        measured_mib=raw["measured"]["max_reserved_mib"],
    )


def _lora(adapter: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    if not adapter:
        return {}
    targets = adapter.get("target_modules") or _LORA_DEFAULT_TARGETS
    return {
        "r": adapter["r"],
        "lora_alpha": adapter["lora_alpha"],
        "lora_dropout": adapter.get("lora_dropout", 0.0),
        "target_modules": targets if isinstance(targets, str) else tuple(sorted(targets)),
        "use_rslora": adapter.get("use_rslora", False),
        "use_dora": adapter.get("use_dora", False),
        "adapter_dtype": dtype,
    }
