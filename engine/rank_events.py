"""Events of the processes that train together: each tells of its own memory, and of a loss of the others.

Rank 0 tells of the run as a lone process does; every other rank has a file of its own, `attempt-N-rank-R`. Read them
through `engine.events`, which offers all events.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class RankMeasured(Event):
    """What one rank's process takes at a step: peaks of its card's memory so far, and its resident RAM.

    `phase`: probe or step. `device`: cpu, or cuda:N as the rank itself counts the cards that it sees.
    """

    attempt: int
    rank: int
    host: str
    device: str
    step: int
    phase: str
    rss_bytes: int
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    device_used_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLost(Event):
    """Last line of a rank that could not go on because another was gone; that one's own words tell why."""

    attempt: int
    rank: int
    phase: str
    step: int
    message: str
