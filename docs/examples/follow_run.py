"""Follow a run of finetui from outside, with the standard library only: python follow_run.py RUN_FOLDER

Prints the loss of each step as it is written and ends with the run. Passes over what it does not know, as every reader
should: newer versions write more events, and more fields.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FINAL = {"RunFinished": 0, "RunStopped": 7, "RunFailed": 9}


def lines(folder: Path, offsets: dict[Path, int]) -> Iterator[dict[str, Any]]:
    """What was written since the last call, oldest first. An unfinished line waits for the next call."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):  # one file for each writer; more of them appear as the run goes on
        with path.open("rb") as file:
            file.seek(offsets.get(path, 0))
            whole = file.read().rpartition(b"\n")[0]
        offsets[path] = offsets.get(path, 0) + len(whole) + bool(whole)
        for line in whole.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:  # a line that a power cut tore; its writer began a new one
                continue
    return iter(sorted(found, key=lambda each: (each["time"], each["writer"], each["seq"])))


def follow(run: Path) -> int:
    """Print the run until its final event; the exit code that finetui would have ended with, about."""
    offsets: dict[Path, int] = {}
    while True:
        final = None
        for event in lines(run / "events", offsets):
            if event["event"] == "RunStarted":
                final = None  # it was resumed: what ended before does not count
            elif event["event"] == "StepLogged":
                print(f"step {event['step']} of {event['max_steps']}: loss {event['loss']}", flush=True)
            elif event["event"] in FINAL:
                final = event["event"]
        if final:
            print(final)
            return FINAL[final]
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(follow(Path(sys.argv[1])))
