"""One measurement after another: what each contender is started with, and what its marks say.

Not here: the figures drawn from them (`table`), the command line (`benchmarks/throughput.py`).
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.throughput_contenders import product
from benchmarks.throughput_contenders.job import Job, Mark, read_rows
from benchmarks.throughput_contenders.limits import useful_flop
from benchmarks.throughput_contenders.product import pinned
from benchmarks.throughput_contenders.rows import write_rows
from benchmarks.throughput_contenders.tokenizing import hand_out
from engine.environment import child_environment, device_environment
from engine.run_dir import RunDir, read_json

ROOT = Path(__file__).resolve().parent.parent.parent
WARMUP = 3
BATCH = 8
"""Rows of a step; TRL's and transformers' default."""
NUM_HELD_OUT = 16
PATIENCE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Contender:
    """`module` and `argument` start it; `peer` names the Python it needs, empty for this one.

    `is_settled`: its allocator is that of finetui's workers.
    """

    module: str
    argument: str
    peer: str = ""
    is_settled: bool = True


CONTENDERS = {
    "finetui": Contender("", ""),
    "bare": Contender("bare", "tuned"),
    "bare-plain": Contender("bare", "plain", is_settled=False),
    "trl-default": Contender("plain_trl", "default", is_settled=False),
    "trl-best": Contender("plain_trl", "best"),
    "llamafactory-default": Contender("llamafactory", "default", "llamafactory", is_settled=False),
    "llamafactory-best": Contender("llamafactory", "best", "llamafactory"),
    "litgpt-default": Contender("litgpt", "default", "litgpt", is_settled=False),
    "litgpt-best": Contender("litgpt", "best", "litgpt"),
    "unsloth": Contender("unsloth", "best", "unsloth"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement of the window after the warm-up. `fault` says why there is none.

    `first_step` is seconds from the start of the process to the end of step 1. `held_out` is None where it was not
    asked for.
    """

    contender: str
    turn: int
    tokens: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    peak_bytes: int = 0
    first_step: float = 0.0
    held_out: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """Rows of one shape, as finetui's own preparation tokenized them, and where measurements are made.

    `useful_flop` is that of one real token, on average over the rows.
    """

    folder: Path
    shape: str
    job: Job
    chats: tuple[Path, Path]
    cores: list[int]
    peers: dict[str, str]
    useful_flop: float
    real_share: float
    """Real tokens of all, where rows are padded to the longest of their batch, in the order of the file."""

    @staticmethod
    def prepare(
        folder: Path, shape: str, *, steps: int, max_length: int, model: str, cores: list[int], peers: dict[str, str]
    ) -> Bench:
        """Write the chats and let a run of one step tokenize them; everyone gets its rows."""
        num_rows = BATCH * (WARMUP + steps)
        chats = write_rows(folder, shape, num_rows, NUM_HELD_OUT, max_length)
        tokenizing = folder / "tokenizing"
        tokenizing.mkdir()
        job = Job(
            model=model,
            rows=str(folder / "rows.jsonl"),
            held_out=str(folder / "held_out_rows.jsonl"),
            folder=str(tokenizing),
            warmup=0,
            steps=1,
            batch_size=BATCH,
            max_length=max_length,
            pack_length=0,
            packs_per_step=0,
            learning_rate=2e-4,
            r=16,
            lora_alpha=32,
            seed=42,
            saves=True,
        )
        source = tokenizing / "recipe.toml"
        source.write_text(product.recipe(job, *chats), encoding="utf-8")
        around = environment(settled=True, home=folder)
        printed = started("tokenizing", source, around=around, cores=cores)
        run = RunDir(Path(printed.splitlines()[-1]))
        hand_out(run.dataset / "train.parquet", Path(job.rows))
        hand_out(run.dataset / "eval.parquet", Path(job.held_out))
        model = read_json(run.model)["folder"]
        lengths = [len(row["input_ids"]) for row in read_rows(job.rows)]
        labelled = [sum(each != -100 for each in row["labels"][1:]) for row in read_rows(job.rows)]
        per_step = BATCH * sum(lengths) / len(lengths)
        packs = max(1, int(per_step / max(*lengths, max_length)))
        job = dataclasses.replace(
            job,
            model=model,
            warmup=WARMUP,
            steps=steps,
            packs_per_step=packs,
            pack_length=max(*lengths, round(per_step / packs)),
            saves=False,
        )
        config = json.loads(Path(model, "config.json").read_text(encoding="utf-8"))
        work = useful_flop(config, zip(lengths, labelled, strict=True), job.r)
        batches = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
        share = sum(lengths) / sum(len(batch) * max(batch) for batch in batches)
        return Bench(folder, shape, job, chats, cores, peers, work / sum(lengths), share)

    @property
    def mean_length(self) -> float:
        """Tokens of a row."""
        rows = read_rows(self.job.rows)
        return sum(len(row["input_ids"]) for row in rows) / len(rows)

    def matmul_rate(self) -> float:
        """FLOP per second of matrix products on the same cores."""
        return float(self.module("limits", self.job, around=environment(settled=True, home=self.folder)))

    def measurements(self, names: list[str], pairs: int) -> Iterator[Measured]:
        """Turn after turn, forth and back. A contender that failed is not asked again."""
        absent: set[str] = set()
        for turn in range(pairs):
            for name in names if turn % 2 == 0 else names[::-1]:
                if name in absent:
                    continue
                found = self.measure(name, turn)
                if found.fault:
                    absent.add(name)
                yield found

    def measure(self, name: str, turn: int) -> Measured:
        """One measurement; the first of each contender also judges what was learned."""
        folder = self.folder / f"{name}-{turn}"
        folder.mkdir()
        job = dataclasses.replace(self.job, folder=str(folder), saves=turn == 0)
        contender, begun = CONTENDERS[name], time.time()
        try:
            if name == "finetui":
                around = environment(settled=True, home=self.folder)
                found = product.measure(job, *self.chats, around, self.cores)
                marks = found.marks
                if job.saves:
                    (folder / f"{folder.name}-1" / "adapter").rename(job.adapter)
            else:
                self._run(contender, job)
                marks = [Mark(**json.loads(line)) for line in job.marks.read_text(encoding="utf-8").splitlines()]
        except (RuntimeError, subprocess.TimeoutExpired) as fault:
            return Measured(name, turn, fault=str(fault))
        begin, last = marks[job.warmup - 1], marks[-1]
        if last.step != job.total_steps:
            return Measured(name, turn, fault=f"it stopped after step {last.step} of {job.total_steps}")
        return Measured(
            contender=name,
            turn=turn,
            tokens=last.tokens - begin.tokens,
            seconds=last.time - begin.time,
            cpu=last.cpu - begin.cpu,
            peak_bytes=last.peak_bytes,
            first_step=marks[0].time - begun,
            held_out=self._held_out(job) if job.saves else None,
        )

    def _run(self, contender: Contender, job: Job) -> None:
        python = sys.executable
        if contender.peer:
            python = self.peers.get(contender.peer, python)
        around = environment(settled=contender.is_settled, home=self.folder)
        self.module(contender.module, job, contender.argument, python=python, around=around)

    def _held_out(self, job: Job) -> float:
        judged = Path(job.folder, "held_out.json")
        if not judged.exists():  # only a contender whose adapter nobody else can read judges for itself
            return float(self.module("held_out", job, around=environment(settled=True, home=self.folder)))
        return float(json.loads(judged.read_text(encoding="utf-8")))

    def module(self, name: str, job: Job, *words: str, around: dict[str, str], python: str = sys.executable) -> str:
        """Run one of this package's modules on the job; its output."""
        path = Path(job.folder, "job.json")
        job.write(path)
        return started(name, path, *words, around=around, cores=self.cores, python=python)


def started(
    name: str, path: Path, *words: str, around: dict[str, str], cores: list[int], python: str = sys.executable
) -> str:
    """The output of one of this package's modules. Raises RuntimeError with the last lines of what went wrong."""
    command = [python, "-m", f"benchmarks.throughput_contenders.{name}", str(path), *words]
    around = around | {"OMP_NUM_THREADS": str(len(cores))}
    with pinned(cores):
        process = subprocess.Popen(
            command, cwd=ROOT, env=around, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    if process.returncode != 0:
        raise RuntimeError(" ".join(errors.strip().splitlines()[-3:]) or f"exit code {process.returncode}")
    return output


def environment(*, settled: bool, home: Path) -> dict[str, str]:
    """No telemetry, no network, and with `settled` the allocator that finetui gives its workers on a CPU."""
    around = child_environment(offline=True) | {"FINETUI_HOME": str(home / "home"), "PYTHONWARNINGS": "ignore"}
    has_card = Path("/dev/nvidiactl").exists()
    if settled and not has_card:
        around |= device_environment(device="cpu", uuid="", expandable_segments=False, is_capped=False)
    return around
