"""Lean DoRA against PEFT's own: the same numbers from the same parameters, in less memory.

PEFT's layer in float64 is the truth where rounding hides a difference; nothing here repeats the formula.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import dora
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from transformers.pytorch_utils import Conv1D

from engine.errors import ModelError
from engine.training import lean_dora
from tests.engine.training.dora_layers import (
    FLOAT32_CLOSE,
    TOKENS,
    Case,
    OneLayer,
    assert_same_function,
    base_layer,
    difference,
    dora_layer,
    lean_copy,
    step,
    train_a_little,
)

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of rows and of tokens even here, the last one shorter; `real_blocks` marks the exceptions."""
    if "real_blocks" not in request.fixturenames:
        monkeypatch.setattr(lean_dora, "BLOCK_ELEMENTS", 300)


@pytest.fixture
def real_blocks() -> None:
    """Asks for blocks of their real size."""


SHAPES = {"square": (64, 64), "wide": (192, 64), "tall": (64, 320), "odd": (70, 37), "one row": (64, 1)}
BASES = ("float32", "bfloat16", "nf4", "nf4-double")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("base", BASES)
def test_output_and_all_gradients_are_pefts(base: str, shape: str) -> None:
    in_features, out_features = SHAPES[shape]
    assert_same_function(Case(base, in_features, out_features))


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("base", BASES)
def test_bias_dropout_and_autocast_keep_the_function(base: str, bias: bool, dropout: float, autocast: bool) -> None:
    assert_same_function(Case(base, 128, 96, bias=bias, autocast=autocast, config={"lora_dropout": dropout}))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("base", ["bfloat16", "nf4", "nf4-double"])
def test_an_adapter_in_bfloat16_is_no_less_exact_than_pefts(base: str, dropout: float) -> None:
    assert_same_function(Case(base, 128, 320, adapter="bfloat16", bias=True, config={"lora_dropout": dropout}))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("base", ["float32", "bfloat16", "nf4-double"])
def test_a_float32_input_under_autocast_keeps_the_function(base: str, dropout: float) -> None:
    assert_same_function(Case(base, 128, 96, autocast=True, wide_input=True, config={"lora_dropout": dropout}))


@pytest.mark.parametrize("base", BASES)
def test_rank_stabilized_scaling_is_applied(base: str) -> None:
    assert_same_function(Case(base, 128, 64, config={"use_rslora": True, "r": 16, "lora_alpha": 24}))


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_weight_stored_transposed_is_read_transposed(dropout: float, autocast: bool) -> None:
    torch.manual_seed(3)
    model = OneLayer(Conv1D(96, 64))
    config = LoraConfig(r=8, target_modules=["proj"], use_dora=True, fan_in_fan_out=True, lora_dropout=dropout)
    adapted = get_peft_model(model, config)
    train_a_little(adapted)
    assert_same_function(Case("float32", 64, 96, bias=True, autocast=autocast), adapted)


def test_a_trained_bias_gets_pefts_gradient() -> None:
    case = Case(bias=True, config={"bias": "lora_only"})
    assert any(name.endswith("bias") for name in step(lean_copy(dora_layer(case)), case))
    assert_same_function(case)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_trained_base_weight_gets_pefts_gradient(dropout: float) -> None:
    model = dora_layer(case := Case(config={"lora_dropout": dropout}))
    model.base_model.model.proj.base_layer.weight.requires_grad_(True)
    assert_same_function(case, model)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("base", ["float32", "nf4-double"])
def test_gradient_checkpointing_changes_nothing(base: str, reentrant: bool) -> None:
    case = Case(base, 128, 64, bias=True, config={"lora_dropout": 0.3})
    stock = dora_layer(case)

    def in_a_checkpoint(model: Any, x: Tensor) -> Tensor:
        output: Tensor = checkpoint(model, x, use_reentrant=reentrant)
        return output

    straight, checkpointed = step(lean_copy(stock), case), step(lean_copy(stock), case, in_a_checkpoint)
    for name, tensor in straight.items():
        assert torch.equal(tensor, checkpointed[name]), name


def test_in_evaluation_nothing_drops_out() -> None:
    stock = dora_layer(Case(config={"lora_dropout": 0.5})).eval()
    x = torch.randn(3, 64)
    assert difference(lean_copy(stock)(x), stock(x)) <= FLOAT32_CLOSE


def test_an_input_without_batch_is_served() -> None:
    stock = dora_layer(Case(bias=True))
    x = torch.randn(64)
    assert difference(lean_copy(stock)(x), stock(x)) <= FLOAT32_CLOSE


def test_the_output_keeps_the_dtype_that_the_base_layer_gave() -> None:
    """PEFT's float32 magnitude would widen it, wherever PEFT does not cast back (4-bit under CUDA autocast)."""
    layer = lean_copy(dora_layer(Case("nf4-double", adapter="bfloat16"))).base_model.model.proj
    result = layer.base_layer(x := torch.randn(*TOKENS, 64, dtype=torch.bfloat16))
    arguments = {"active_adapter": "default", "x": x, "result": result}
    assert layer.lora_magnitude_vector["default"].weight.dtype == torch.float32
    assert layer.lora_variant["default"].forward(layer, **arguments).dtype == torch.bfloat16


@pytest.mark.parametrize(("base", "adapter"), [("float32", "float32"), ("nf4", "bfloat16"), ("nf4-double", "bfloat16")])
def test_an_untrained_adapter_changes_no_output(base: str, adapter: str) -> None:
    """The magnitude starts as the norm; a norm rounded otherwise than PEFT's would scale each row by up to 0.4 %."""
    torch.manual_seed(5)
    case = Case(base, 128, 96)
    model = OneLayer(base_layer(case), is_loaded_in_4bit=base.startswith("nf4"))
    x = torch.randn(*TOKENS, 128, dtype=torch.float32 if base == "float32" else torch.bfloat16)
    plain = model(x)
    adapted = get_peft_model(model, LoraConfig(target_modules=["proj"], use_dora=True))
    for name, parameter in adapted.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data = parameter.data.to(getattr(torch, adapter))
    torch.testing.assert_close(lean_copy(adapted)(x), plain, rtol=1e-6, atol=1e-6)


# --- which layers, which adapters ---------------------------------------------------------------------------------


def test_install_counts_linear_layers_and_may_be_repeated() -> None:
    model = nn.Sequential(nn.Embedding(20, 64), nn.Linear(64, 64), nn.Linear(64, 32))
    adapted = get_peft_model(model, LoraConfig(target_modules=["0", "1", "2"], use_dora=True))
    before = dict(adapted.base_model.model[0].lora_variant)
    assert lean_dora.install(adapted) == 2
    assert lean_dora.install(adapted) == 2
    assert adapted.base_model.model[0].lora_variant == before


def test_a_model_without_dora_is_left_alone() -> None:
    assert lean_dora.install(nn.Linear(4, 4)) == 0
    adapted = get_peft_model(OneLayer(nn.Linear(64, 64)), LoraConfig(target_modules=["proj"]))
    assert lean_dora.install(adapted) == 0
    assert not adapted.base_model.model.proj.lora_variant


def test_the_active_one_of_several_adapters_is_used_and_two_at_once_add_up() -> None:
    stock = dora_layer(Case(bias=True))
    stock.add_adapter("other", LoraConfig(r=4, lora_alpha=12, target_modules=["proj"], use_dora=True))
    stock.add_adapter("plain", LoraConfig(r=4, target_modules=["proj"]))
    train_a_little(stock)
    lean, x = lean_copy(stock), torch.randn(3, 64)
    outputs = []
    for active in ("default", "other", "plain", ["default", "other"]):
        for model in (stock, lean):
            model.base_model.set_adapter(active)
        assert difference(lean(x), stock(x)) <= FLOAT32_CLOSE, active
        outputs.append(lean(x))
    assert not torch.allclose(outputs[0], outputs[1], rtol=1e-3)
    with stock.disable_adapter(), lean.disable_adapter():
        assert torch.equal(stock(x), lean(x))


def test_a_weight_it_does_not_know_is_refused_and_no_layer_is_changed() -> None:
    model = nn.ModuleDict({"known": nn.Linear(64, 64), "foreign": nn.Linear(64, 64)})
    adapted = get_peft_model(model, LoraConfig(target_modules=["known", "foreign"], use_dora=True))
    layers = adapted.base_model.model
    layers["foreign"].base_layer = Linear8bitLt(64, 64, has_fp16_weights=False).to("cpu")
    layers["foreign"].base_layer.weight.data = torch.zeros(64, 64, dtype=torch.int8)
    before = layers["known"].lora_variant["default"]
    with pytest.raises(ModelError, match=r"foreign, a bitsandbytes\.nn\.modules\.Linear8bitLt") as refusal:
        lean_dora.install(adapted)
    assert "lean_dora = false" in refusal.value.remedy
    assert layers["known"].lora_variant["default"] is before


# --- whole models, saved and loaded -------------------------------------------------------------------------------


def peak_bytes(model: Any, x: Tensor) -> int:
    """Most bytes that a forward and backward pass held at once beyond what there was before, gradients included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        model(x).sum().backward()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize(
    ("base", "adapter", "full_size_products"),
    # B A, s B A and W + s B A; and W in the adapter's dtype where that differs.
    [("float32", "float32", 3), ("bfloat16", "float32", 4), ("bfloat16", "bfloat16", 3), ("nf4-double", "bfloat16", 3)],
)
@pytest.mark.usefixtures("real_blocks")
def test_the_peak_falls_by_the_identity_and_the_full_size_products(
    base: str, adapter: str, full_size_products: int
) -> None:
    case = Case(base, in_features=8192, out_features=2048, adapter=adapter)
    stock = dora_layer(case)
    lean = lean_copy(stock)
    width = getattr(torch, adapter).itemsize
    weight = case.in_features * case.out_features
    removed = (case.in_features**2 + full_size_products * weight) * width
    blocks = 4 * lean_dora.BLOCK_ELEMENTS * torch.float32.itemsize
    dequantized = weight * torch.bfloat16.itemsize if base == "nf4-double" else 0
    x = torch.randn(16, case.in_features, dtype=torch.float32 if base == "float32" else torch.bfloat16)
    theirs, ours = (peak_bytes(model, x.clone().requires_grad_()) for model in (stock, lean))
    print(f"{base} {adapter}: {theirs / 2**20:.1f} -> {ours / 2**20:.1f} MiB, removed {removed / 2**20:.0f} MiB")
    assert ours <= dequantized + blocks
    assert theirs - ours >= removed - blocks


# The norm, and with dropout the gradient of the product with W; the sham layer asks once itself.
@pytest.mark.parametrize(("dropout", "times"), [(0.0, 2), (0.1, 3)])
def test_it_runs_on_fake_tensors_with_the_dequantizer_that_peft_has_then(
    monkeypatch: pytest.MonkeyPatch, dropout: float, times: int
) -> None:
    class Sham(Linear4bit):
        """Packed bytes of the right number, no quantization state."""

        def __init__(self, in_features: int, out_features: int) -> None:
            nn.Module.__init__(self)
            self.weight = nn.Parameter(torch.empty(in_features * out_features // 2, 1, dtype=torch.uint8), False)
            self.weight.quant_type, self.weight.compress_statistics = "nf4", True
            self.in_features, self.out_features, self.bias = in_features, out_features, None
            self.compute_dtype = torch.bfloat16

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, unpacked(self))

    def unpacked(layer: Any) -> Tensor:
        asked.append(layer)
        return torch.empty(layer.out_features, layer.in_features, dtype=torch.bfloat16)

    asked: list[Any] = []
    monkeypatch.setattr(dora, "dequantize_module_weight", unpacked)
    monkeypatch.setattr(lean_dora, "BLOCK_ELEMENTS", 1 << 16)
    model = OneLayer(Sham(640, 1280), is_loaded_in_4bit=True)
    settings = {"target_modules": ["proj"], "use_dora": True, "lora_dropout": dropout}
    adapted = get_peft_model(model, LoraConfig(**settings))
    asked.clear()
    with FakeTensorMode() as mode:
        for module in adapted.modules():
            for name, parameter in module.named_parameters(recurse=False):
                fake = nn.Parameter(mode.from_tensor(parameter), parameter.requires_grad)
                module.register_parameter(name, fake)
        assert lean_dora.install(adapted) == 1
        x = torch.randn(2, 300, 640, dtype=torch.bfloat16, requires_grad=True)
        adapted(x).sum().backward()
        assert all(p.grad.shape == p.shape for p in [x, *adapted.parameters()] if p.requires_grad)
    assert len(asked) == times
