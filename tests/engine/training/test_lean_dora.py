"""Lean DoRA against PEFT's own: the same numbers from the same parameters, in less memory.

PEFT's layer in float64 is the truth where rounding hides a difference; nothing here repeats the formula.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt, Params4bit
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import dora
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from engine.errors import ModelError
from engine.training import lean_dora

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TOKENS = (2, 5)
"""Leading dimensions of every input: batch, length."""
FLOAT32_CLOSE = 1e-5
BFLOAT16_CLOSE = 2.0**-6
"""Largest difference relative to the whole tensor's norm. Two roundings to bfloat16 differ by at most 2^-8 each."""


@dataclass(frozen=True)
class Case:
    """One layer with DoRA. `base`: float32, bfloat16, nf4 or nf4-double; `adapter`: what A and B are cast to.

    The input has the dtype that the base computes in, or float32 where `wide_input` says so.
    """

    base: str = "float32"
    in_features: int = 64
    out_features: int = 64
    adapter: str = "float32"
    bias: bool = False
    autocast: bool = False
    wide_input: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def is_float32(self) -> bool:
        return self.base == "float32" and self.adapter == "float32" and not self.autocast


class OneLayer(nn.Module):
    """The smallest thing that PEFT adapts."""

    def __init__(self, proj: nn.Module, *, is_loaded_in_4bit: bool = False) -> None:
        super().__init__()
        self.proj = proj
        self.is_loaded_in_4bit = is_loaded_in_4bit

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.proj(x)
        return projected


@pytest.fixture(autouse=True)
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of rows and of tokens even here, the last one shorter; `real_blocks` marks the exceptions."""
    if "real_blocks" not in request.fixturenames:
        monkeypatch.setattr(lean_dora, "BLOCK_ELEMENTS", 300)


@pytest.fixture
def real_blocks() -> None:
    """Asks for blocks of their real size."""


def base_layer(case: Case) -> nn.Module:
    plain = nn.Linear(case.in_features, case.out_features, bias=case.bias)
    if case.base in ("float32", "bfloat16"):
        return plain.to(getattr(torch, case.base))
    layer = Linear4bit(
        case.in_features,
        case.out_features,
        bias=case.bias,
        compute_dtype=torch.bfloat16,
        compress_statistics=case.base == "nf4-double",
        quant_type="nf4",
    )
    layer.weight = Params4bit(
        plain.weight.detach().bfloat16(),
        requires_grad=False,
        quant_type="nf4",
        compress_statistics=case.base == "nf4-double",
    )
    if case.bias:
        layer.bias = nn.Parameter(plain.bias.detach().bfloat16(), requires_grad=False)
    return layer.to("cpu")


def dora_layer(case: Case) -> Any:
    """A PEFT model of one layer, its adapter as far from the start as training takes it."""
    torch.manual_seed(case.in_features * 1000 + case.out_features)
    model = OneLayer(base_layer(case), is_loaded_in_4bit=case.base.startswith("nf4"))
    settings = {"r": 8, "lora_alpha": 16, "target_modules": ["proj"], "use_dora": True} | case.config
    adapted = get_peft_model(model, LoraConfig(**settings))
    for name, parameter in adapted.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data = parameter.data.to(getattr(torch, case.adapter))
    train_a_little(adapted)
    return adapted


def train_a_little(model: nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.05)
            if "lora_magnitude_vector" in name:
                parameter.mul_(1 + 0.1 * torch.randn_like(parameter))


def lean_copy(model: Any) -> Any:
    lean = copy.deepcopy(model)
    assert lean_dora.install(lean) > 0
    return lean


def in_float64(model: Any) -> Any:
    """PEFT's own layer with the same numbers in double precision, a quantized weight as what it stands for."""
    exact = copy.deepcopy(model)
    layer = exact.base_model.model.proj
    if isinstance(layer.base_layer, Linear4bit):
        weight = dora.dequantize_module_weight(layer.base_layer).detach()
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias=layer.base_layer.bias is not None)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        plain.bias = layer.base_layer.bias
        layer.base_layer = plain
    return exact.double()


def step(
    model: Any, case: Case, forward: Callable[[Any, Tensor], Tensor] = lambda model, x: model(x)
) -> dict[str, Tensor]:
    """Output and every gradient of one step on numbers that depend on the case alone, by name."""
    numbers = torch.Generator().manual_seed(7)
    dtype = torch.float32 if case.base == "float32" or case.wide_input else torch.bfloat16
    x = torch.randn(*TOKENS, case.in_features, generator=numbers).to(dtype)
    wanted = torch.randn(*TOKENS, case.out_features, generator=numbers).to(dtype)
    if next(model.parameters()).dtype == torch.float64:
        x, wanted = x.double(), wanted.double()
    x.requires_grad_()
    torch.manual_seed(11)  # the same units drop out
    with torch.autocast("cpu", torch.bfloat16) if case.autocast and x.dtype != torch.float64 else nullcontext():
        output = forward(model, x)
    output.backward(wanted.to(output.dtype))
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    return {"output": output.detach(), "input": x.grad, **grads}


def difference(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


def assert_same_function(case: Case, model: Any | None = None) -> None:
    stock = dora_layer(case) if model is None else model
    truth = None if case.is_float32 else step(in_float64(stock), case)
    theirs, ours = step(stock, case), step(lean_copy(stock), case)
    assert ours.keys() == theirs.keys()
    assert {"output", "input"} < ours.keys()
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape
        assert tensor.dtype == theirs[name].dtype, name
        if truth is None:
            assert difference(tensor, theirs[name]) <= FLOAT32_CLOSE, name
        else:
            assert difference(tensor, theirs[name]) <= BFLOAT16_CLOSE, name
            assert difference(tensor, truth[name]) <= 1.1 * difference(theirs[name], truth[name]) + 1e-6, name


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

ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def tiny(folder: Path, dtype: torch.dtype = torch.float32, quantization_config: Any = None, **config: Any) -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=quantization_config)
    settings = {"r": 8, "target_modules": ALL_LINEAR, "use_dora": True, "task_type": "CAUSAL_LM"} | config
    torch.manual_seed(1)
    adapted = get_peft_model(model, LoraConfig(**settings))
    train_a_little(adapted)
    return adapted


def model_step(model: Any, *, checkpointing: bool = False) -> dict[str, Tensor]:
    """Logits and gradients of one step on a fixed batch."""
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable()
        model.enable_input_require_grads()
    ids = torch.randint(0, 200, (2, 12), generator=torch.Generator().manual_seed(2))
    torch.manual_seed(13)
    output = model(input_ids=ids, labels=ids)
    output.loss.backward()
    return {"logits": output.logits.detach()} | {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3", "granite"])
def test_a_whole_model_trains_the_same(tiny_model_of: Callable[[str], Path], family: str, checkpointing: bool) -> None:
    stock = tiny(tiny_model_of(family), lora_dropout=0.1)
    lean = copy.deepcopy(stock)
    assert lean_dora.install(lean) == 2 * len(ALL_LINEAR)
    theirs, ours = model_step(stock, checkpointing=checkpointing), model_step(lean, checkpointing=checkpointing)
    for name, tensor in ours.items():
        assert difference(tensor, theirs[name]) <= 10 * FLOAT32_CLOSE, name


def test_a_whole_4bit_model_is_as_close_to_pefts_as_bfloat16_allows(tiny_model_folder: Path) -> None:
    """Adapters in bfloat16 and magnitudes in float32, as TRL trains QLoRA with DoRA."""
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    stock = tiny(tiny_model_folder, torch.bfloat16, quantization_config=quantization)
    for name, parameter in stock.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            parameter.data = parameter.data.bfloat16()
    theirs, ours = model_step(stock), model_step(lean_copy(stock))
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert difference(tensor, theirs[name]) <= 3 * BFLOAT16_CLOSE, name  # two layers deep


def train(model: Any, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model_step(model)
        optimizer.step()


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=torch.arange(2, 40)[None]).logits
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_saved_adapter_means_the_same_to_pefts_dora_and_to_the_lean_one(
    tiny_model_folder: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    close = 10 * FLOAT32_CLOSE if dtype == torch.float32 else BFLOAT16_CLOSE
    lean = tiny(tiny_model_folder, dtype)
    names = {name: tensor.dtype for name, tensor in get_peft_model_state_dict(lean).items()}
    lean_dora.install(lean)
    train(lean)
    assert {name: tensor.dtype for name, tensor in get_peft_model_state_dict(lean).items()} == names
    lean.save_pretrained(tmp_path / "lean")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=dtype)
    stock = PeftModel.from_pretrained(base, tmp_path / "lean", is_trainable=True)
    assert difference(logits(stock), logits(lean)) <= close
    train(stock)
    stock.save_pretrained(tmp_path / "stock")
    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=dtype)
    again = PeftModel.from_pretrained(base, tmp_path / "stock")
    lean_dora.install(again)
    assert difference(logits(again), logits(stock)) <= close


@pytest.mark.parametrize("safe", [False, True])
def test_merging_gives_the_very_weights_that_peft_gives(tiny_model_folder: Path, safe: bool) -> None:
    stock = tiny(tiny_model_folder)
    lean = lean_copy(stock)
    before = logits(lean)
    merged, wanted = (model.merge_and_unload(safe_merge=safe) for model in (lean, stock))
    assert merged.state_dict().keys() == wanted.state_dict().keys()
    assert all(torch.equal(tensor, wanted.state_dict()[name]) for name, tensor in merged.state_dict().items())
    assert difference(logits(merged), before) <= 10 * FLOAT32_CLOSE


def test_merging_and_unmerging_in_place_comes_back(tiny_model_folder: Path) -> None:
    lean = lean_copy(tiny(tiny_model_folder))
    before = logits(lean)
    lean.merge_adapter()
    assert difference(logits(lean), before) <= 10 * FLOAT32_CLOSE
    lean.unmerge_adapter()
    assert difference(logits(lean), before) <= 10 * FLOAT32_CLOSE


# --- memory -------------------------------------------------------------------------------------------------------


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
