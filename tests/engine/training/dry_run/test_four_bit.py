"""4-bit layers without weights take the bytes that real ones take, and allocate what real ones allocate."""

from __future__ import annotations

import bitsandbytes
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.quantizers.base import get_keys_to_not_convert

from engine.dry_run_types import StepSpec
from engine.training.dry_run.dry_run import dry_run
from engine.training.dry_run.four_bit import overhead
from tests.engine.training.dry_run.configs import small


def really_quantized(config: dict[str, object], double_quant: bool, quant_type: str) -> nn.Module:
    """A model with random weights whose linear layers bitsandbytes has really quantized."""
    values = dict(config)
    made = AutoConfig.for_model(values.pop("model_type"), **values)
    model = AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16)
    kept = set(get_keys_to_not_convert(model))
    for name, layer in [(n, m) for n, m in model.named_modules() if type(m) is nn.Linear and n not in kept]:
        real = bitsandbytes.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=double_quant,
            quant_type=quant_type,
        )
        real.weight = bitsandbytes.nn.Params4bit(
            layer.weight.data, requires_grad=False, compress_statistics=double_quant, quant_type=quant_type
        )._quantize("cpu")
        real.bias = layer.bias
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, real)
    return model


def loaded_bytes(model: nn.Module) -> int:
    """Bytes of all storages of a model, each once."""
    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            tensors += overhead(module)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("model_type", ["llama", "qwen2", "phi3"])
def test_a_4_bit_model_is_predicted_to_the_byte(model_type: str, double_quant: bool) -> None:
    config = small(model_type, num_hidden_layers=3, intermediate_size=520)
    spec = StepSpec(
        device="cpu",
        method="qlora",
        dtype="bfloat16",
        attention="native",
        double_quant=double_quant,
        adapter_dtype="bfloat16",
        row_lengths=(16,),
        loss="plain",
    )
    run = dry_run(config, spec)
    adapter = dict(run.terms)["adapter"]
    assert adapter == 2 * run.num_trainable
    real = loaded_bytes(really_quantized(config, double_quant, "nf4"))
    # transformers shares one table of 16 codes between layers loaded together no more than bitsandbytes does.
    assert run.loaded_bytes - adapter == real
