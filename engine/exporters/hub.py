"""`hub`: an artifact sent to huggingface.co. Without `push` it says what would be sent and asks nobody.

The token is found by huggingface_hub in its usual places; it is not read here and stands in no file, event or text.
Not here: making what is sent.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import FinetuiError, ModelError
from engine.events import ArtifactExported, clip
from engine.exporters import Job, all_exporters, placing
from engine.recipe import Problem, Recipe
from engine.units import format_bytes

ARTIFACT = "hub"
DRY_RUN = "hub-dry-run"
"""Name of what would have been sent: never that of something which lies on the hub."""
KEPT_HERE = (placing.MANIFEST, "*.gguf.json", ".*")
"""Files that name this machine's runs and folders: they are not sent."""
NAMED_FILES = 8


class Hub:
    NAME = "hub"
    HELP = "adapter, merged or gguf to huggingface.co (dry run without --push)"
    NEEDS: tuple[str, ...] = ()

    def problems(self, _recipe: Recipe, _config: Mapping[str, Any] | None) -> list[Problem]:
        """Nothing that could be known before the artifact is there."""
        return []

    def export(self, job: Job) -> list[ArtifactExported]:
        begun, what = time.monotonic(), str(job.settings.get("what") or "adapter")
        repo, push = str(job.settings.get("repo") or ""), bool(job.settings.get("push"))
        if push:
            _require_way(job)
        made = all_exporters()[what].export(job)
        for event in made:
            job.writer.write(event)
        folder = _folder_of(job, made)
        files = sent_files(folder)
        num_bytes = sum(files.values())
        notes = [_named(files)]
        if push:
            name, path = f"{ARTIFACT}-{what}", _push(job, repo, folder, what, files)
            notes.append(f"pushed {len(files)} files, found there again with their sizes")
        else:
            own = job.run.path
            name, path = DRY_RUN, str(folder.relative_to(own) if folder.is_relative_to(own) else folder)
            kind = "private" if job.settings.get("private") else "public"
            told = f"--push would create {_endpoint()}/{repo} ({kind}) if it is not there"
            notes.append(f"dry run: nothing was sent; {told}")
        return [
            ArtifactExported(
                artifact=name,
                kind="hub",
                path=path,
                num_bytes=num_bytes,
                seconds=round(time.monotonic() - begun, 2),
                file_type=what,
                notes=tuple(notes),
            )
        ]


EXPORTER = Hub()


def sent_files(folder: Path) -> dict[str, int]:
    """Name -> bytes of every file that is sent."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(fnmatch.fnmatch(part, p) for p in KEPT_HERE for part in Path(name).parts):
            found[name] = path.stat().st_size
    return found


def _folder_of(job: Job, made: list[ArtifactExported]) -> Path:
    """The folder to send: the artifact's own, or the one its files lie in."""
    first = job.run.path / made[0].path
    return first if first.is_dir() else first.parent


def _named(files: Mapping[str, int]) -> str:
    largest = sorted(files, key=lambda name: (-files[name], name))
    told = ", ".join(f"{name} {format_bytes(files[name])}" for name in largest[:NAMED_FILES])
    more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
    return clip(f"{len(files)} files: {told}{more}", 900)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _require_way(job: Job) -> None:
    """Raises ModelError where the network is switched off or nobody is logged in: before anything is made."""
    from huggingface_hub import constants, get_token

    if job.recipe.model.offline or constants.is_offline_mode():
        raise ModelError(
            "Nothing can be sent to the hub: the network is switched off.",
            means="model.offline of the recipe or HF_HUB_OFFLINE is set.",
            remedy="Export to a folder now (--to merged or --to adapter), and send it from a machine with a network.",
        )
    if get_token() is None:
        raise ModelError(
            "Nobody is logged in to the hub on this machine.",
            means="Sending needs an access token with the right to write; nothing was sent.",
            remedy="Log in with `hf auth login`, or set HF_TOKEN, then export again with --push.",
        )


def _push(job: Job, repo: str, folder: Path, what: str, files: Mapping[str, int]) -> str:
    """Create the repository if it is not there, send the files, look for them there; its address."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=_endpoint())
    with hub_faults(repo):
        job.tell(ARTIFACT, f"creating {repo}")
        url = str(api.create_repo(repo, private=bool(job.settings.get("private")), exist_ok=True))
        job.tell(ARTIFACT, f"sending {len(files)} files")
        api.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            commit_message=f"Add the {what} of run {job.run.name}",
            ignore_patterns=list(KEPT_HERE),
        )
        job.tell(ARTIFACT, "looking whether they are there")
        told = api.model_info(repo, files_metadata=True)
    there = {each.rfilename: each.size for each in told.siblings or ()}
    if lacking := [name for name, size in files.items() if there.get(name) not in (size, *_unknown(there, name))]:
        raise FinetuiError(
            f"After sending, {repo} lacks {', '.join(lacking[:3])}, or has it in another size.",
            means="The repository may be incomplete.",
            remedy="Export again with --push: what is there already is not sent twice.",
        )
    return url


def _unknown(there: Mapping[str, int | None], name: str) -> tuple[None, ...]:
    """A file that is there and whose size the hub does not tell counts as found."""
    return (None,) if name in there else ()


@contextlib.contextmanager
def hub_faults(repo: str) -> Iterator[None]:
    """huggingface_hub's errors as ours. Their texts are not passed on: they may hold more than a user should show."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as fault:
        raise _refused(repo, getattr(fault.response, "status_code", 0)) from None
    except (httpx2.HTTPError, ConnectionError, TimeoutError) as fault:
        raise ModelError(
            f"The hub could not be reached ({type(fault).__name__}).",
            means="There is no network, a proxy is in the way, or the hub is down. The artifact lies on this machine.",
            remedy="Try again later with --push: what was sent is not sent twice.",
        ) from None
    except errors.HFValidationError:
        raise ModelError(
            f"{repo!r} is no repository's name.", means="Nothing was sent.", remedy="Write it as owner/name."
        ) from None
    except ValueError as fault:  # what the hub finds wrong with the card comes as one
        raise ModelError(
            f"The hub does not take what was sent: {clip(str(fault).splitlines()[0], 300)}",
            means="The artifact lies on this machine.",
            remedy="Mend README.md in its folder, and send it with `hf upload`.",
        ) from None


def _refused(repo: str, status: int) -> ModelError:
    if status in (401, 403):
        return ModelError(
            f"The hub refused to write to {repo} (HTTP {status}).",
            means="The access token of this machine is invalid or expired, may only read, or is not that owner's.",
            remedy="Make a token with the right to write at https://huggingface.co/settings/tokens, log in with "
            "`hf auth login`, and check the owner's name.",
        )
    return ModelError(
        f"The hub answered with HTTP {status} while {repo} was written.",
        means="The artifact lies on this machine; the repository may be incomplete.",
        remedy="Try again with --push: what was sent is not sent twice.",
    )
