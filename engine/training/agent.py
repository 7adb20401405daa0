"""torchrun, tied to the supervisor: `python -P -m engine.training.agent SUPERVISOR_PID FOLDER ARGUMENT…`.

It ends with its supervisor, and its ranks know it by its process. On one host its meeting point listens on the
loopback address only: torchrun's own would take anybody who reaches the machine, and trust what they say. Not here:
what the ranks do.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore, run  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from engine.ranks.team import Failure, note_failures
from engine.worker_edge import die_with_parent

VARIABLE = "FINETUI_AGENT_PID"
"""Names torchrun's process to its ranks, which end with it."""


def main(arguments: list[str]) -> int:
    """Run torchrun in this process; its exit code: 0 where every rank ended with 0."""
    die_with_parent(int(arguments[0]))
    os.environ[VARIABLE] = str(os.getpid())
    folder, told, held = Path(arguments[1]), arguments[2:], None
    if "--rdzv-endpoint" not in told and "--master-addr" not in told:
        held, port = meeting_point()
        told = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-conf", "is_host=0", *told]
    try:
        run.main(told)
    except ChildFailedError as failed:
        print(failed, file=sys.stderr)  # noqa: T201 - goes to the log file
        failures = [Failure(rank, each.pid, each.exitcode) for rank, each in failed.failures.items()]
        note_failures(folder, failures)
        return max(1, *(each.exit_code for each in failures))
    finally:
        del held
    return 0


def meeting_point() -> tuple[Any, int]:
    """A store that listens on the loopback address, and its port."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    port = listening.getsockname()[1]
    settings: dict[str, Any] = {"is_master": True, "wait_for_workers": False, "master_listen_fd": listening.detach()}
    return TCPStore("127.0.0.1", port, **settings), port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
