"""Everything that finetui asks of the Hugging Face hub, and what each refusal means for the user.

huggingface_hub is imported inside functions only. Its error texts hold addresses that may be signed and
headers that may name a token, so none of them is passed on: our errors state the kind and the HTTP status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from data.file_modes import users_umask
from engine.errors import ModelError
from engine.model_folder import FolderFault, folder_fault

# What training reads. Patterns that match nothing in a repository cost nothing.
PLAIN_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "README.md")
_CODE_FILES = ("*.py",)
SETTINGS = ("config.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json")
"""What is known of a model after a few kilobytes."""
# Sub-folders hold other forms of the same weights; consolidated*.safetensors are Mistral's second copy.
LEFT_OUT = ("*/*", "consolidated*.safetensors")


@dataclass(frozen=True, slots=True)
class HubRequest:
    """One model of the hub: `OWNER/NAME`, and how it may be looked for.

    `cache_dir` None means the hub's own default. `nearest` are local paths to suggest when the id is unknown.
    """

    repo_id: str
    revision: str | None
    cache_dir: Path | None
    offline: bool
    nearest: tuple[str, ...] = ()

    @property
    def is_offline(self) -> bool:
        """Whether nothing may be sent: asked for here, or by HF_HUB_OFFLINE."""
        from huggingface_hub.constants import HF_HUB_OFFLINE

        return self.offline or bool(HF_HUB_OFFLINE)

    @property
    def download_command(self) -> str:
        """What fetches the model beforehand, on a machine with a network."""
        revision = f" --revision {self.revision}" if self.revision else ""
        cache = f" --cache-dir {self.cache_dir}" if self.cache_dir else ""
        return f"hf download {self.repo_id}{revision}{cache}"

    @property
    def cache_folder(self) -> Path:
        """The folder of the hub's cache that holds this model once it is fetched."""
        from huggingface_hub.constants import HF_HUB_CACHE

        return Path(self.cache_dir or HF_HUB_CACHE).expanduser() / f"models--{self.repo_id.replace('/', '--')}"


def fetch_snapshot(request: HubRequest, *, with_code: bool) -> Path:
    """The folder with the model's files, downloaded unless it is in the cache whole. Raises ModelError.

    `with_code` also takes the repository's Python files; pickled weights are never taken.
    """
    folder = _download(request, [*PLAIN_FILES, *(_CODE_FILES if with_code else ())])
    if fault := folder_fault(folder):
        raise _incomplete(request, fault)
    return folder


def cached_config(request: HubRequest) -> Path | None:
    """The model's config.json in the hub's cache, or None. Touches no network."""
    from huggingface_hub import try_to_load_from_cache

    with hub_errors(request):
        found = try_to_load_from_cache(
            request.repo_id, "config.json", cache_dir=request.cache_dir, revision=request.revision
        )
    return Path(found) if isinstance(found, str) else None


def fetch_config(request: HubRequest) -> Path:
    """The model's config.json, downloaded unless it is in the cache. Raises ModelError."""
    path = _download(request, ["config.json"]) / "config.json"
    if path.is_file():
        return path
    raise ModelError(
        f"The repository {request.repo_id} holds no config.json.",
        means="It is not a model in the transformers layout; it may hold only GGUF files or an adapter.",
        remedy="Name the original model's repository, or download its .gguf file and name that file.",
    )


def fetch_settings(request: HubRequest) -> Path:
    """The folder with the model's small files: configuration, tokenizer settings, template. Raises ModelError."""
    return _download(request, list(SETTINGS))


def _download(request: HubRequest, patterns: list[str]) -> Path:
    """The snapshot folder with the files that match. One file, too, goes this way: it fails in a second without
    a network, where the hub's single-file download tries for twenty."""
    from huggingface_hub import snapshot_download

    with hub_errors(request), users_umask():  # the hub's cache may belong to a group
        return Path(
            snapshot_download(
                request.repo_id,
                revision=request.revision,
                cache_dir=request.cache_dir,
                local_files_only=request.is_offline,
                allow_patterns=patterns,
                ignore_patterns=list(LEFT_OUT),
            )
        )


@contextmanager
def hub_errors(request: HubRequest) -> Iterator[None]:
    """Turn whatever huggingface_hub raises into a ModelError that says what to do."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        _raise_gated(request, _status(error))
    except errors.RevisionNotFoundError:
        raise ModelError(
            f"{request.repo_id} has no revision {request.revision!r}.",
            means="A revision is a branch, a tag or a full commit hash of the model's repository.",
            remedy=f"Look at https://huggingface.co/{request.repo_id}/commits/main, or unset model.revision.",
        ) from None
    except errors.RepositoryNotFoundError as error:
        _raise_not_found(request, _status(error))
    except errors.LocalEntryNotFoundError as error:
        if status := _status(error.__cause__):
            _raise_refused(request, status)
        _raise_not_cached(request)
    except errors.HfHubHTTPError as error:
        _raise_refused(request, _status(error))
    except errors.HFValidationError:
        raise ModelError(
            f"{request.repo_id!r} is not a hub id.",
            means="No local path has this name either.",
            remedy="Write OWNER/NAME as on huggingface.co, or the path of a folder or .gguf file.",
        ) from None
    except (httpx2.HTTPError, ConnectionError, TimeoutError, json.JSONDecodeError) as error:
        raise ModelError(
            f"The hub could not be reached for {request.repo_id} ({type(error).__name__}).",
            means="There is no network, a proxy is in the way, or the hub is down.",
            remedy=f"Try again later, or fetch it elsewhere with: {request.download_command}",
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(
            f"{request.repo_id} could not be stored in {request.cache_folder}: {reason}.",
            means="Nothing incomplete is used; the download goes on where it ended.",
            remedy="Free space on that disk, make the folder writable, or set HF_HOME to another folder.",
        ) from None


def _raise_gated(request: HubRequest, status: int) -> NoReturn:
    raise ModelError(
        f"{request.repo_id} is gated: the hub refused it (HTTP {status}).",
        means="Its owner asks everyone to accept a licence first, and nobody who did is logged in on this machine.",
        remedy=f"1. Accept the licence at https://huggingface.co/{request.repo_id}  "
        "2. Log in with `hf auth login`, or set HF_TOKEN to an access token.  3. Start again.",
    ) from None


def _raise_not_found(request: HubRequest, status: int) -> NoReturn:
    local = f" Or did you mean the local {' or '.join(request.nearest)}?" if request.nearest else ""
    raise ModelError(
        f"The hub has no model {request.repo_id} that this machine may see (HTTP {status}).",
        means="The name is misspelled, or the model is private or gated and you are not logged in. "
        "There is no local path of this name either.",
        remedy=f"Check https://huggingface.co/{request.repo_id}; for a private or gated model log in with "
        f"`hf auth login` or set HF_TOKEN.{local}",
    ) from None


def _raise_not_cached(request: HubRequest) -> NoReturn:
    local = f" Or did you mean the local {' or '.join(request.nearest)}?" if request.nearest else ""
    revision = f" at revision {request.revision}" if request.revision else ""
    happened = f"{request.repo_id}{revision} is not (completely) in the local cache: {request.cache_folder}"
    if request.is_offline:
        raise ModelError(
            f"{happened} lacks it.",
            means="The network is switched off (model.offline or HF_HUB_OFFLINE), so it cannot be fetched now.",
            remedy=f"Fetch it beforehand, with a network: {request.download_command}{local}",
        ) from None
    raise ModelError(
        f"{happened} lacks it, and the hub could not be reached.",
        means="There is no network, a proxy is in the way, or the hub is down.",
        remedy=f"Try again later, or fetch it beforehand: {request.download_command}{local}",
    ) from None


def _raise_refused(request: HubRequest, status: int) -> NoReturn:
    if status in (401, 403):
        means = "The access token on this machine is invalid, expired, or may not read this model."
        remedy = f"Log in again with `hf auth login`, or set HF_TOKEN; see https://huggingface.co/{request.repo_id}"
    elif status == 429:
        means, remedy = "Too many requests came from this address.", "Wait some minutes, or log in: `hf auth login`."
    else:
        means, remedy = "The hub, or the mirror named in HF_ENDPOINT, has a fault of its own.", "Try again later."
    raise ModelError(f"The hub refused {request.repo_id} (HTTP {status}).", means=means, remedy=remedy) from None


def _incomplete(request: HubRequest, fault: FolderFault) -> ModelError:
    if request.is_offline:
        return ModelError(
            f"{request.repo_id} is not completely in the local cache: {fault.happened}",
            means=f"{fault.means} The network is switched off, so it cannot be fetched now.",
            remedy=f"Fetch it beforehand, with a network: {request.download_command}",
        )
    return ModelError(
        f"{request.repo_id} cannot be trained: {fault.happened}",
        means=f"{fault.means} Only safetensors weights are downloaded, because loading a pickle can run hidden code.",
        remedy=f"Look at https://huggingface.co/{request.repo_id}/tree/main, and name a repository that holds "
        "config.json, *.safetensors and tokenizer.json.",
    )


def _status(error: BaseException | None) -> int:
    """The HTTP status behind an error, 0 when there was no answer."""
    response = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0))
