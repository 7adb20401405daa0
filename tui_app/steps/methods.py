"""The ways of training by the one name that people choose: "full", "lora", "qlora+rslora+dora", …

A name stands for three fields of a recipe. Not here: what each costs on a machine (`method`).
"""

from __future__ import annotations

METHOD_FIELDS = ("adapter.method", "adapter.use_rslora", "adapter.use_dora")
BASES = ("full", "lora", "qlora")
EXTRAS = ("rslora", "dora")


def fields_of_method(name: str) -> dict[str, str]:
    """The fields that a name stands for, as texts; empty for a name that is none."""
    words = [word.strip() for word in name.strip().lower().split("+")]
    if not all(word in (*BASES, *EXTRAS) for word in words) or len(set(words)) < len(words):
        return {}
    bases = [word for word in words if word in BASES]
    if len(bases) > 1 or ("full" in bases and len(words) > 1):
        return {}
    return {
        "adapter.method": bases[0] if bases else "lora",
        "adapter.use_rslora": "true" if "rslora" in words else "false",
        "adapter.use_dora": "true" if "dora" in words else "false",
    }


def method_of(method: object, use_rslora: object, use_dora: object) -> str:
    """The name for these values of the three fields: the shortest that `fields_of_method` takes apart again."""
    extras = [name for name, is_on in zip(EXTRAS, (use_rslora, use_dora), strict=True) if is_on is True]
    if method == "lora" and extras:
        return "+".join(extras)
    return "+".join([str(method), *extras])
