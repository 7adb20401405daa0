"""The schedulers that a recipe can be exported to. One is added by its module and its entry here."""

from __future__ import annotations

from importlib import import_module

from engine.jobs.job import JobEngine

JOB_ENGINES = ("slurm", "skypilot")
"""Their words after --to, which are the names of their modules; nothing is loaded for the list."""


def job_engine(name: str) -> JobEngine:
    """The engine of that name. Raises ValueError for another."""
    if name not in JOB_ENGINES:
        raise ValueError(f"no job engine {name!r}")
    engine = import_module(f"{__package__}.{name}").ENGINE
    assert isinstance(engine, JobEngine)
    return engine
