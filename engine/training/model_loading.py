"""Weights from a local model folder. The type of the weights is always stated, never a default.

The folder is complete (engine/model_folder.py checks that) and nothing here touches the network. Choosing the
type, the quantization and the device is the plan's business, and the tokenizer that of `tokenizer_loading`.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from engine.errors import ModelError
from engine.model_folder import check_folder
from engine.training.out_of_memory import out_of_memory
from engine.training.tokenizer_loading import first_line, unloadable

DtypeName = Literal["float32", "bfloat16", "float16"]

_DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load_model(
    folder: Path,
    *,
    dtype: str,
    quantization: Literal["nf4", "fp4"] | None = None,
    double_quant: bool = False,
    compute_dtype: str | None = None,
    quant_storage: str = "uint8",
    attn_implementation: str = "sdpa",
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """The folder's model on `device` ("cpu", "cuda", "cuda:1"), with weights of `dtype`.

    `quantization` holds the layers' linear weights in 4 bits, stored as `quant_storage`, its scales too with
    `double_quant`; they compute in `compute_dtype`, by default `dtype`. The rest keeps `dtype`. Only safetensors are
    read. The model comes in evaluation mode. Raises ModelError for weights that are broken or do not fit their
    configuration, and lets out-of-memory errors pass: those are the ladder's.
    """
    check_folder(folder)
    options: dict[str, Any] = {"dtype": torch_dtype(dtype), "use_safetensors": True}
    options |= {"local_files_only": True, "output_loading_info": True}
    if quantization is not None:
        codes = quantization, double_quant, compute_dtype or dtype, quant_storage
        options["quantization_config"] = _four_bits(*codes)
    try:
        with _ConversionFaults() as faults:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                attn_implementation=attn_implementation,
                device_map={"": device},
                trust_remote_code=trust_remote_code,
                **options,
            )
    except ImportError as error:
        raise _lacks_package(error, attn_implementation, quantization) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise unloadable(folder, "model", error, trust_remote_code) from error
    except RuntimeError as error:
        if lacking := out_of_memory(RuntimeError(faults.text)):
            raise MemoryError(lacking.message) from error
        if "mismatch" not in str(error):
            raise
        raise unloadable(folder, "model", error, trust_remote_code) from error
    model, info = loaded
    check_complete(folder, info)
    assert isinstance(model, PreTrainedModel)
    if quantization is not None and device == "cpu":
        leave_files(model)
    return model


def leave_files(model: PreTrainedModel) -> None:
    """Copy the weights that still lie in the mapped files, so that these can be unmapped.

    One weight that was not quantized keeps its whole file: 513 MiB for the 108 MiB of SmolLM2's embeddings.
    """
    for parameter in model.parameters():
        if type(parameter) is torch.nn.Parameter:
            parameter.data = parameter.data.clone()


def _lacks_package(error: ImportError, attn_implementation: str, quantization: str | None) -> Exception:
    """The error for a library that cannot be imported: it is absent, or there is no memory to load it into."""
    if lacking := out_of_memory(error):
        return MemoryError(lacking.message)
    return ModelError(
        f"A package is missing for this way of loading: {first_line(error)}",
        means=f"It was asked for: attention {attn_implementation}, quantization {quantization or 'none'}.",
        remedy='Install that package, or choose model.attn_implementation = "sdpa", which needs none.',
    )


class _ConversionFaults(logging.Handler):
    """What transformers reports of weights it could not convert while loading.

    An exception in there, out of memory while quantizing among them, goes into a table in its log, and only a
    RuntimeError that points at the table comes out.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self._logger = logging.getLogger("transformers.modeling_utils")
        self._level = self._logger.level

    def __enter__(self) -> _ConversionFaults:
        self._logger.addHandler(self)
        self._logger.setLevel(min(self._logger.getEffectiveLevel(), logging.WARNING))
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "CONVERSION" in message:
            # Only what was raised, not the traceback: the words looked for could stand in its source lines.
            raised = [line for line in message.splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line.strip())]
            self.text += "\n".join(raised)


def _four_bits(code: str, double_quant: bool, compute_dtype: str, storage: str) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=code,
        bnb_4bit_use_double_quant=double_quant,
        bnb_4bit_compute_dtype=torch_dtype(compute_dtype),
        bnb_4bit_quant_storage=storage,
    )


def torch_dtype(name: str) -> torch.dtype:
    """torch's type for "float32", "bfloat16" or "float16". Raises ValueError for another name."""
    if name not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, not {name!r}")
    return _DTYPES[name]


def check_complete(folder: Path, info: dict[str, Any]) -> None:
    """Refuse a model that transformers filled up with random numbers. `info` is its loading info."""
    lacking = sorted(info.get("missing_keys") or ())
    if not lacking:
        return
    raise ModelError(
        f"The weights in {folder} lack {len(lacking)} tensors that config.json promises, for example {lacking[0]}.",
        means="They would be filled with random numbers, and the model would be broken without a word.",
        remedy="Use the config.json that belongs to these weights, or fetch the model again.",
    )
