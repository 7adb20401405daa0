"""The error tree and the exit codes. Nothing else decides how the program ends.

    FinetuiError              1  anything of ours without a better class (defined in data.errors)
    ├── RecipeError           2  the recipe or the command line is wrong
    ├── DataError             3  rows that cannot be read, recognised or trained on (defined in data.errors)
    ├── ModelError            4  model missing, gated, broken or unsupported
    ├── OutOfMemoryError      5  out of memory, and no rung of the ladder is left
    ├── DiedError             6  a process of the run ended without saying why
    ├── StoppedError          7  stopped on request; what was kept can be resumed
    ├── ChangedError          8  replay refused: something differs from the recorded run
    ├── RunDirError           9  run not found, in use, damaged, or the disk is full
    ├── DivergedError        11  training diverged: the weights are not finite
    └── DiagnosisError       10  `finetui doctor` found something that keeps runs from working

Exit code 0 means that the result was checked. 130 means that Ctrl-C ended a command before a run existed.
"""

from __future__ import annotations

from data.errors import DataError, FinetuiError


class RecipeError(FinetuiError):
    """The recipe or the command line is wrong."""

    exit_code = 2


class ModelError(FinetuiError):
    """The model is missing, gated, broken or unsupported."""

    exit_code = 4


class OutOfMemoryError(FinetuiError):
    """Out of memory, and no rung of the ladder is left."""

    exit_code = 5


class DiedError(FinetuiError):
    """A process of the run ended without saying why."""

    exit_code = 6


class StoppedError(FinetuiError):
    """The run was stopped on request; what was kept can be resumed."""

    exit_code = 7


class ChangedError(FinetuiError):
    """A replay was refused because something differs from the recorded run."""

    exit_code = 8


class RunDirError(FinetuiError):
    """A run was not found, is in use or damaged, or the disk is full."""

    exit_code = 9


class DivergedError(FinetuiError):
    """Training diverged: the trained weights are not finite."""

    exit_code = 11


class DiagnosisError(FinetuiError):
    """`finetui doctor` found something that keeps runs from working."""

    exit_code = 10


EXIT_CODES: dict[str, int] = {
    error.__name__: error.exit_code
    for error in (
        FinetuiError,
        RecipeError,
        DataError,
        ModelError,
        OutOfMemoryError,
        DiedError,
        StoppedError,
        ChangedError,
        RunDirError,
        DivergedError,
        DiagnosisError,
    )
}


def kind_of(fault: FinetuiError) -> str:
    """The error of this tree that a fault is, by name, as it travels between processes; some carry more than that."""
    return next(kind.__name__ for kind in type(fault).__mro__ if kind.__name__ in EXIT_CODES)


__all__ = [
    "EXIT_CODES",
    "ChangedError",
    "DataError",
    "DiagnosisError",
    "DiedError",
    "DivergedError",
    "FinetuiError",
    "ModelError",
    "OutOfMemoryError",
    "RecipeError",
    "RunDirError",
    "StoppedError",
    "kind_of",
]
