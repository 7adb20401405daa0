"""The process that answers: it loads the sides once, then reads questions and writes answers, a JSON object a line.

Run as `python -P -m engine.chat.worker PARENT_PID SIDES`, SIDES being JSON. On stdin: {"ask": number, "turns":
{side: [{role, content}…]}, "settings": {…}}, {"stop": true}; on stdout: {"loading": title}, {"ready": {…}}, and for a
question {"number", "side", "text"}…, at last {"number", "side", "ended", …} per side and {"number", "done": true}; or
{"error": {…}}, with the number of the question that it ends. Stop, or SIGINT, ends an answer and keeps the models.
Not here: loading and computing (`speakers`).
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data.conversation import Message
from engine.chat.settings import Settings
from engine.chat.sides import Side
from engine.errors import FinetuiError, kind_of
from engine.events import Event, WorkerFailed
from engine.worker_edge import at_edge, die_with_parent

SLICE_SECONDS = 0.25
"""How long one side computes before another one goes on: both are seen to write, and switching costs nothing."""
Tell = Callable[[dict[str, Any]], None]


class Worker:
    """`tell` writes a line. `stopping` is set from a signal or the thread that reads."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.stopping = threading.Event()
        self.asked: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def run(self, sides: Sequence[Side]) -> int:
        """Load, then answer until stdin ends. Raises FinetuiError for what cannot be loaded."""
        from engine.chat.speakers import speakers_of

        begun = time.monotonic()
        speakers = {each.side.name: each for each in speakers_of(sides, lambda title: self.tell({"loading": title}))}
        manners = {each.manner.run.path: each.manner for each in speakers.values()}
        first = next(iter(speakers.values()))
        self.tell(
            {
                "ready": {
                    "seconds": round(time.monotonic() - begun, 2),
                    "system": first.manner.system,
                    "device": first.manner.plan.device,
                    "contexts": {name: each.context for name, each in speakers.items()},
                    "notes": list(dict.fromkeys(note for manner in manners.values() for note in manner.notes)),
                }
            }
        )
        while (asked := self.asked.get()) is not None:
            number = asked["ask"]
            try:
                self.answer(number, asked, speakers)
            except FinetuiError as fault:
                self.tell({"number": number, "error": words_of(fault)})
        return 0

    def answer(self, number: int, asked: dict[str, Any], speakers: dict[str, Any]) -> None:
        """All sides that are asked, in turns of a slice each."""
        from engine.chat.speakers import within_memory

        settings = Settings(**asked["settings"])
        going: dict[str, Iterator[dict[str, Any]]] = {}
        counts: dict[str, int] = {}
        for name, turns in asked["turns"].items():
            messages = [Message(turn["role"], turn["content"]) for turn in turns]
            going[name], counts[name] = speakers[name].answer(messages, settings), 0
        while going:
            for name in list(going):
                begun = time.monotonic()
                with within_memory(speakers[name].side):
                    for said in going[name]:
                        if said:
                            self.tell({"number": number, "side": name, **said})
                        if "ended" in said:
                            del going[name]
                            break
                        counts[name] += 1
                        if self.stopping.is_set() or time.monotonic() - begun > SLICE_SECONDS:
                            break
            if self.stopping.is_set():
                for name in going:
                    told = {"ended": False, "is_stopped": True, "num_tokens": counts[name]}
                    self.tell({"number": number, "side": name, **told})
                break
        self.tell({"number": number, "done": True})

    def read(self) -> None:
        """The thread at stdin: questions are put in line, a stop is obeyed at once; its end ends the process."""
        for line in sys.stdin:
            told = json.loads(line)
            if "ask" in told:
                self.stopping.clear()
                self.asked.put(told)
            else:
                self.stopping.set()
        self.stopping.set()
        self.asked.put(None)


class _LastLine:
    """Where `at_edge` puts the failure that ends the process."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def write(self, event: Event) -> None:
        assert isinstance(event, WorkerFailed)
        words = {"happened": event.happened, "means": event.means, "remedy": event.remedy, "kind": event.error}
        self.tell({"error": words})


def words_of(fault: FinetuiError) -> dict[str, str]:
    """An error as it travels between processes."""
    return {"happened": fault.happened, "means": fault.means, "remedy": fault.remedy, "kind": kind_of(fault)}


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(int(arguments[0]))
    warnings.simplefilter("ignore")
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries may print: only our lines go to the real stdout

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=told, flush=True)

    worker = Worker(tell)
    signal.signal(signal.SIGINT, lambda *_: worker.stopping.set())
    threading.Thread(target=worker.read, daemon=True).start()
    sides = [Side.from_json(each) for each in json.loads(arguments[1])]
    return at_edge(lambda: worker.run(sides), _LastLine(tell))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
