"""The dimensions of a language model, from its configuration alone: no torch, no weights.

Plans, memory figures and adapter sizes are computed from a `ModelShape`. Where the configuration comes from is
engine/model_source.py; the parameter counts here are compared with transformers' own models in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from engine.errors import ModelError


class Projection(NamedTuple):
    """One linear map of a decoder layer: `name` as adapters target it, `inputs` and `outputs` in features."""

    name: str
    inputs: int
    outputs: int

    @property
    def num_weights(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a decoder-only language model consists of. Sizes are counts of features, heads, tokens or parameters.

    `projections` are the linear maps of one decoder layer, all layers alike. `sliding_window` is the number of
    tokens that `sliding_layers` of the layers attend to; the others see everything. `linear_parameters` are the
    projections' weights over all decoder layers: what adapters sit on and 4-bit loading shrinks.
    `num_parameters` counts tied embeddings once and includes the vision tower, `vision_parameters`, which text
    training loads but does not run; `vision_linear_parameters` is the share of it in linear maps.
    """

    architecture: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool
    max_position_embeddings: int
    sliding_window: int | None
    sliding_layers: int
    projections: tuple[Projection, ...]
    num_parameters: int
    linear_parameters: int
    vision_parameters: int
    vision_linear_parameters: int

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding; the head's are as many, or none when tied."""
        return self.vocab_size * self.hidden_size

    @property
    def norms_per_layer(self) -> int:
        """Norms over the hidden size in one layer: two, or four with Gemma's norms behind attention and MLP."""
        return FAMILIES[self.architecture].norms_per_layer

    @property
    def has_query_key_norms(self) -> bool:
        """Whether queries and keys are normalized per head."""
        return FAMILIES[self.architecture].query_key_norms

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """The shape that a config.json describes; see `model_shape`. Raises ModelError."""
        return model_shape(config)

    def to_json(self) -> dict[str, Any]:
        """The shape as JSON values; `from_json` turns them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ModelShape:
        """The shape that `to_json` wrote."""
        projections = tuple(Projection(*projection) for projection in values["projections"])
        return cls(**{**values, "projections": projections})


@dataclass(frozen=True, slots=True)
class _Family:
    """How one model_type of transformers differs from Llama.

    `defaults` are the values its configuration class fills in for keys that config.json leaves out.
    `sliding_pattern` n means that every n-th layer sees everything, 1 that all layers slide.
    """

    norms_per_layer: int = 2
    query_key_norms: bool = False
    query_key_value_bias: bool = False
    fused: bool = False
    sliding_pattern: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)


_GEMMA_DEFAULTS = {"head_dim": 256, "tie_word_embeddings": True, "max_position_embeddings": 8192}

FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "llama": _Family(),
        "mistral": _Family(sliding_pattern=1, defaults={"num_key_value_heads": 8, "sliding_window": 4096}),
        "qwen2": _Family(query_key_value_bias=True),
        "qwen3": _Family(query_key_norms=True, defaults={"head_dim": 128}),
        "phi3": _Family(fused=True, sliding_pattern=1),
        "gemma": _Family(defaults=_GEMMA_DEFAULTS | {"vocab_size": 256000}),
        "gemma2": _Family(
            norms_per_layer=4,
            sliding_pattern=2,
            defaults=_GEMMA_DEFAULTS
            | {"vocab_size": 256000, "num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window": 4096},
        ),
        "gemma3_text": _Family(
            norms_per_layer=4,
            query_key_norms=True,
            sliding_pattern=6,
            defaults=_GEMMA_DEFAULTS
            | {"vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window": 4096}
            | {"max_position_embeddings": 131072},
        ),
    }
)


def model_shape(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a config.json describes; a vision-language model's text part is in its `text_config`.

    Raises ModelError for an architecture outside `FAMILIES` and for a missing or impossible dimension.
    """
    text = config.get("text_config")
    text = text if isinstance(text, Mapping) else config
    model_type = str(text.get("model_type") or config.get("model_type") or "")
    if model_type == "gemma3":
        model_type = "gemma3_text"
    family = FAMILIES.get(model_type)
    if family is None:
        raise ModelError(
            f"The architecture {model_type or 'unknown (config.json has no model_type)'} is not one finetui can size.",
            means="Memory and adapter sizes are computed from the layers of an architecture, so it must be known.",
            remedy=f"Known: {', '.join(sorted(FAMILIES))}, and gemma3 with a vision tower.",
        )
    size = _Sizes(text, family)
    projections = _projections(size, family)
    linear = sum(projection.num_weights for projection in projections) * size.layers
    vision, vision_linear = _vision_parameters(config, size.hidden)
    window, sliding_layers = _sliding(text, family, size.layers)
    per_layer = _vector_parameters(text, size, family)
    return ModelShape(
        architecture=model_type,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_layers=size.layers,
        num_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        head_dim=size.head_dim,
        vocab_size=size.vocab,
        tied_embeddings=size.tied,
        max_position_embeddings=size.positions,
        sliding_window=window,
        sliding_layers=sliding_layers,
        projections=projections,
        num_parameters=linear
        + per_layer * size.layers
        + size.hidden
        + size.vocab * size.hidden * (1 if size.tied else 2)
        + vision,
        linear_parameters=linear,
        vision_parameters=vision,
        vision_linear_parameters=vision_linear,
    )


class _Sizes:
    """The dimensions in config.json, with what the family's configuration class would fill in."""

    def __init__(self, config: Mapping[str, Any], family: _Family) -> None:
        given = {key: value for key, value in config.items() if value is not None}
        merged = {**family.defaults, **given}
        self.hidden = positive(merged, "hidden_size")
        self.intermediate = positive(merged, "intermediate_size")
        self.layers = positive(merged, "num_hidden_layers")
        self.heads = positive(merged, "num_attention_heads")
        self.key_value_heads = positive({"num_key_value_heads": self.heads, **merged}, "num_key_value_heads")
        self.head_dim = positive({"head_dim": max(1, self.hidden // self.heads), **merged}, "head_dim")
        self.vocab = positive(merged, "vocab_size")
        self.positions = positive({"max_position_embeddings": 2048, **merged}, "max_position_embeddings")
        self.tied = bool(merged.get("tie_word_embeddings", False))
        if self.heads % self.key_value_heads:
            raise ModelError(
                f"config.json says {self.heads} attention heads and {self.key_value_heads} key/value heads.",
                means="Every key/value head serves the same number of heads, so the one must divide the other.",
                remedy="Use the config.json that belongs to these weights.",
            )


def positive(config: Mapping[str, Any], key: str) -> int:
    """The whole number above 0 under `key`. Raises ModelError naming the key otherwise."""
    value = config.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ModelError(
        f"The model's configuration {'lacks ' + key if value is None else f'has {key} = {value!r}'}.",
        means="Without this dimension the model's size cannot be known.",
        remedy="Use the config.json that belongs to these weights.",
    )


def _projections(size: _Sizes, family: _Family) -> tuple[Projection, ...]:
    queries, keys = size.heads * size.head_dim, size.key_value_heads * size.head_dim
    if family.fused:
        return (
            Projection("qkv_proj", size.hidden, queries + 2 * keys),
            Projection("o_proj", queries, size.hidden),
            Projection("gate_up_proj", size.hidden, 2 * size.intermediate),
            Projection("down_proj", size.intermediate, size.hidden),
        )
    return (
        Projection("q_proj", size.hidden, queries),
        Projection("k_proj", size.hidden, keys),
        Projection("v_proj", size.hidden, keys),
        Projection("o_proj", queries, size.hidden),
        Projection("gate_proj", size.hidden, size.intermediate),
        Projection("up_proj", size.hidden, size.intermediate),
        Projection("down_proj", size.intermediate, size.hidden),
    )


def _vector_parameters(config: Mapping[str, Any], size: _Sizes, family: _Family) -> int:
    """Norm and bias parameters of one decoder layer."""
    queries, keys = size.heads * size.head_dim, size.key_value_heads * size.head_dim
    total = family.norms_per_layer * size.hidden
    if family.query_key_norms:
        total += 2 * size.head_dim
    if family.query_key_value_bias:
        total += queries + 2 * keys
    elif config.get("attention_bias"):
        total += queries + 2 * keys + size.hidden
    if config.get("mlp_bias"):
        total += 2 * size.intermediate + size.hidden
    return total


def _sliding(config: Mapping[str, Any], family: _Family, layers: int) -> tuple[int | None, int]:
    """The window in tokens, and how many layers are limited to it."""
    window = config["sliding_window"] if "sliding_window" in config else family.defaults.get("sliding_window")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return None, 0
    types = config.get("layer_types")
    if isinstance(types, list):
        sliding = types.count("sliding_attention")
    elif config.get("use_sliding_window"):
        sliding = max(0, layers - int(config.get("max_window_layers", 28)))
    elif family.sliding_pattern == 1:
        sliding = layers
    elif family.sliding_pattern:
        sliding = layers - layers // int(config.get("sliding_window_pattern") or family.sliding_pattern)
    else:
        sliding = 0
    return (window, sliding) if sliding else (None, 0)


def _vision_parameters(config: Mapping[str, Any], text_hidden: int) -> tuple[int, int]:
    """(all, in linear maps) parameters of a SigLIP tower and Gemma 3's projector; (0, 0) without a tower."""
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping) or config.get("model_type") != "gemma3":
        return 0, 0
    hidden = positive(vision, "hidden_size")
    intermediate = positive(vision, "intermediate_size")
    patch = positive(vision, "patch_size")
    layers = positive(vision, "num_hidden_layers")
    patches = (positive(vision, "image_size") // patch) ** 2
    linear = layers * (4 * hidden**2 + 2 * hidden * intermediate)
    biases_and_norms = layers * (4 * hidden + intermediate + hidden + 4 * hidden)
    embeddings = 3 * patch**2 * hidden + hidden + patches * hidden
    projector = hidden * text_hidden + hidden
    return linear + biases_and_norms + embeddings + 2 * hidden + projector, linear
