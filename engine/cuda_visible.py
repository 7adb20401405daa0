"""Which of the cards a CUDA program started from here would see: CUDA_VISIBLE_DEVICES, by CUDA's rules.

Lives here: the rules. They are CUDA's and PyTorch's, so that the plan is made for the card the training
process gets: the first entry decides whether all are numbers, card UUIDs or slice UUIDs; reading stops at the
first entry that names nothing ("-1" is the usual way to say "none"); an entry given twice hides every card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.gpu import Gpu

VARIABLE = "CUDA_VISIBLE_DEVICES"
_NUMBER = re.compile(r"\+?(\d+)", re.ASCII)


def visible_gpus(gpus: tuple[Gpu, ...], environment: Mapping[str, str]) -> tuple[tuple[Gpu, ...], str]:
    """The cards a CUDA program sees, in its order, and a note for the user ("" if there is nothing to say)."""
    value = environment.get(VARIABLE)
    if value is None or not gpus:
        return gpus, ""
    chosen: list[Gpu] = []
    stopped_at = ""
    entries = [part.strip() for part in value.split(",")]
    for entry in entries:
        named = _named(entry, entries[0][:4], gpus)
        if not named:
            stopped_at = entry
            break
        if any(gpu in chosen for gpu in named):
            return (), f"{_shown(value)} names a card twice, which hides every NVIDIA card. Name each once."
        chosen.extend(named)
    if not chosen:
        reason = "as it asks" if stopped_at in ("", "-1") else f"{stopped_at!r} names no card here"
        return (), f"{_shown(value)} hides every NVIDIA card ({reason}). Unset it to use {_names(gpus)}."
    return tuple(chosen), _note(value, stopped_at, gpus, chosen, environment)


def _named(entry: str, kind: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """A number names a card (in MIG mode all its slices); a UUID may be cut short while it stays unique."""
    if kind in ("GPU-", "MIG-"):
        named = [gpu for gpu in gpus if entry.startswith(kind) and gpu.uuid.startswith(entry)]
        return named if len(named) == 1 else []
    number = _NUMBER.match(entry)
    return [gpu for gpu in gpus if number and gpu.index == int(number[1])]


def _note(
    value: str, stopped_at: str, gpus: Sequence[Gpu], chosen: Sequence[Gpu], environment: Mapping[str, str]
) -> str:
    """What the user may not expect: an entry without effect, hidden cards, CUDA's own numbering."""
    notes = []
    if stopped_at and stopped_at != "-1":
        notes.append(f"{_shown(value)}: {stopped_at!r} names no card here, and CUDA reads no further.")
    hidden = [gpu for gpu in gpus if gpu not in chosen]
    if hidden:
        notes.append(f"{_shown(value)} hides {_names(hidden)}.")
    by_number = not value.strip().startswith(("GPU-", "MIG-"))
    unequal = len({gpu.name for gpu in gpus}) > 1
    if by_number and unequal and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        notes.append(
            "CUDA numbers unequal cards fastest first, not as nvidia-smi does: "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name the card by its UUID (nvidia-smi -L)."
        )
    return " ".join(notes)


def _shown(value: str) -> str:
    return f'{VARIABLE}="{value}"'


def _names(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"{gpu.name} (GPU {gpu.index})" for gpu in gpus)
