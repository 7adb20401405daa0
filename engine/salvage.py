"""A trained result that a power cut or a failing disk damaged: known before it is used, and made again.

Not here: checkpoints (`checkpoints`), which are compared with what was sealed whenever one is chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from engine.checkpoints import MANIFEST, changed_file, steps
from engine.errors import RunDirError
from engine.event_log import EventWriter
from engine.events import WarningRaised
from engine.run_dir import RunDir


def drop_damaged_result(run: RunDir, writer: EventWriter) -> None:
    """Have a damaged result count as not there: the attempt that follows makes it again from the last checkpoint.

    Raises RunDirError where there is no checkpoint, or the disk refuses.
    """
    if not (fault := result_fault(run.adapter)):
        return
    if not steps(run.checkpoints):
        raise RunDirError(
            f"The trained result in {run.adapter} is damaged: {fault}.",
            means="No checkpoint is left that it could be made from again, so nothing was done.",
            remedy=f"Put the files back from a copy, or train again: finetui replay {run.typed}",
        )
    writer.write(WarningRaised(text=f"The trained result is damaged ({fault}): it is made again."))
    try:
        (run.adapter / MANIFEST).unlink()
    except OSError as refused:
        raise RunDirError(
            f"{run.adapter / MANIFEST} cannot be removed: {refused.strerror}.",
            means=f"The trained result is damaged ({fault}) and cannot be replaced.",
            remedy="Make the folder writable, then `finetui resume` the run.",
        ) from refused


def result_fault(adapter: Path) -> str:
    """Why the result of training is not what was sealed; "" where it is, or where none was sealed yet.

    Of what is listed only weights are compared: the other files are small enough for people to change, so they are
    only required to be there and to hold something.
    """
    try:
        listed = json.loads((adapter / MANIFEST).read_bytes())["files"]
        files = {str(name): (entry["bytes"], entry["sha256"]) for name, entry in listed.items()}
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its file list is unreadable"
    weights = {name: entry for name, entry in files.items() if name.endswith(".safetensors")}
    return changed_file(adapter, weights) or _hollow_file(adapter, files)


def _hollow_file(folder: Path, files: Mapping[str, tuple[int, str]]) -> str:
    """Which of these files has nothing in it but zeros, or is no JSON although it is called so."""
    for name, (num_bytes, _) in files.items():
        try:
            content = b"" if name.endswith(".safetensors") else (folder / name).read_bytes()
            if name.endswith(".json"):
                json.loads(content)
            elif num_bytes and not name.endswith(".safetensors") and not content.strip(b"\0"):
                return f"{name} is empty"
        except OSError as fault:
            return f"{name} cannot be read: {fault.strerror}"
        except ValueError:
            return f"{name} is damaged"
    return ""
