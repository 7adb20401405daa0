"""What the hub says of a repository without fetching it: bytes to download, licence, whether it is gated.

Asked only when somebody wants to know before a run. Not here: fetching (`model_hub`).
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from engine.errors import ModelError
from engine.model_hub import LEFT_OUT, PLAIN_FILES, HubRequest, hub_errors

WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    """`num_bytes` counts the files that a run would fetch."""

    num_bytes: int
    licence: str | None
    is_gated: bool


def repository_facts(request: HubRequest) -> RepositoryFacts:
    """Ask the hub. Raises ModelError: not found, refused, no network, or the network is switched off."""
    from huggingface_hub import HfApi

    if request.is_offline:
        raise ModelError(
            f"The hub is not asked about {request.repo_id}: the network is switched off.",
            means="model.offline or HF_HUB_OFFLINE is set.",
            remedy="Unset it, or go on without: the run needs the model in the cache then.",
        )
    with hub_errors(request):
        told = HfApi().model_info(request.repo_id, revision=request.revision, files_metadata=True, timeout=WAIT_SECONDS)
    wanted = [file for file in told.siblings or () if _is_fetched(file.rfilename)]
    licence = getattr(told.card_data, "license_name", None) or getattr(told.card_data, "license", None)
    return RepositoryFacts(
        num_bytes=sum(file.size or 0 for file in wanted),
        licence=str(licence) if licence else None,
        is_gated=bool(told.gated),
    )


def _is_fetched(name: str) -> bool:
    left_out = any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_OUT)
    return not left_out and any(fnmatch.fnmatch(name, pattern) for pattern in PLAIN_FILES)
