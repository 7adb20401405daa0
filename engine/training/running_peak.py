"""What an attempt's second step takes: the first whose optimizer state is all there.

Not here: the probe, whose longest rows it is compared with (`probe`), and what is made of the figures.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainingArguments

from engine.events import MemoryMeasured, MemoryProbed
from engine.memory import MemoryPrediction
from engine.training.measured_step import Meter, tensor_bytes

MEASURED_STEP = 2
MAX_MICRO_BATCHES = 2
"""Measured on a CPU, where every operation of the step is recorded: about 70 MiB a micro-batch of 30 layers."""


class RunningPeak:
    """Measures one step of an attempt. `probed` is the attempt's probe, if there was one."""

    def __init__(self, attempt: int, prediction: MemoryPrediction | None) -> None:
        self.attempt, self.prediction = attempt, prediction
        self.probed: MemoryProbed | None = None
        self._meter: Meter | None = None

    def on_step_begin(self, number: int, args: TrainingArguments) -> None:
        """`number` counts the attempt's own steps from 1."""
        on_cpu = args.device.type == "cpu"
        if number == MEASURED_STEP and not (on_cpu and args.gradient_accumulation_steps > MAX_MICRO_BATCHES):
            self._meter = Meter("cpu" if on_cpu else str(args.device))
            self._meter.__enter__()

    def drop(self) -> None:
        if self._meter is not None:
            self._meter.__exit__(None, None, None)
            self._meter = None

    def on_step_end(self, step: int, model: Any, optimizer: Any) -> MemoryMeasured | None:
        """The figures, once the measured step is done.

        `rho` compares with a prediction made for the longest rows, so it takes the larger of this step's peak and
        the probe's, and stays None where no probe ran.
        """
        if self._meter is None:
            return None
        meter, self._meter = self._meter, None
        meter.__exit__(None, None, None)
        found = meter.measured(None)
        before = found.allocated_before_bytes
        static = tensor_bytes(model, getattr(optimizer, "optimizer", optimizer)) if before is None else before
        peak = max(static + found.peak_bytes, self.probed.peak_bytes if self.probed else 0)
        predicted, rho = self.prediction, None
        if predicted and self.probed and predicted.peak_bytes > predicted.static_bytes:
            rho = round((peak - static) / (predicted.peak_bytes - predicted.static_bytes), 4)
        return MemoryMeasured(
            attempt=self.attempt,
            step=step,
            peak_bytes=peak,
            static_bytes=static,
            predicted_bytes=predicted.peak_bytes if predicted else None,
            rho=rho,
        )
