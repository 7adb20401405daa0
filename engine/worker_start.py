"""How a worker process begins that loads the training libraries: `python -P -m engine.worker_start MODULE ARGUMENT…`.

It loads the module and calls its `main` with the arguments, of which the second is the process it was started by, 0
where that is another program. Not here: the command line and the environment
(`environment`), what becomes of faults (`worker_edge`).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator

from engine.worker_edge import die_with_parent

MODULE = "engine.worker_start"


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Load libraries without looking for garbage meanwhile, and without ever looking through them again.

    torch, transformers and TRL are 860,000 objects and hardly any garbage: looking for it again and again took a fifth
    of the time that loading them takes (4.4 instead of 5.9 s of processor time for an attempt).
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def main(words: list[str]) -> int:
    """Load the module that the first word names, and hand it the others. Returns its exit code."""
    name, *arguments = words
    if len(arguments) > 1 and (parent := int(arguments[1])):
        # Loading takes seconds. A worker whose supervisor is killed meanwhile ends here, before it has touched the run:
        # it would take the number of an attempt that the next supervisor gives to its own.
        die_with_parent(parent)
    with loading():
        module = importlib.import_module(name)
    exit_code: int = module.main(arguments)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
