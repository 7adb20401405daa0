"""Datasets of the Hugging Face Hub: downloads into the hub's own cache, or finds there. Which of the files are read
is decided in `file_choice`, reading over the network is in `hub_streaming`. huggingface_hub is loaded only inside
functions.
"""

from __future__ import annotations

import glob
from pathlib import Path

from data.errors import DataError
from data.file_choice import HUB_ENDINGS
from data.file_modes import users_umask
from data.reading import hub_streaming
from data.reading.blobs import Blob, file_blob

DESCRIPTIONS = ["*dataset_infos.json", "*dataset_info.json", ".*", "*/.*"]


def files_of(
    repo: str, *, subset: str | None, revision: str | None, offline: bool, cache_dir: str | None, stream: bool
) -> dict[str, Blob]:
    """The files of `repo` ("owner/name") by their names in it. With `stream`, read over the network as they are needed,
    unless the cache has them. Raises DataError as `snapshot_of` does.
    """
    if stream and not offline:
        try:
            folder = snapshot_of(repo, subset=subset, revision=revision, offline=True, cache_dir=cache_dir)
        except DataError as not_cached:
            if not isinstance(not_cached, OutOfReachError):
                raise
            return _remote(repo, revision, cache_dir)
    else:
        folder = snapshot_of(repo, subset=subset, revision=revision, offline=offline, cache_dir=cache_dir)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: file_blob(folder / name, f"{repo}/{name}") for name in names}


def _remote(repo: str, revision: str | None, cache_dir: str | None) -> dict[str, Blob]:
    import httpx2
    from huggingface_hub import errors

    def explained(error: Exception) -> DataError:
        if isinstance(error, httpx2.TransportError | errors.OfflineModeIsEnabled):
            return _out_of_reach(repo, revision, _entry(repo, cache_dir), _why(error, offline=False))
        return _explained(error, repo, revision)

    return hub_streaming.remote_files(repo, revision, explained)


class OutOfReachError(DataError):
    """What is wanted is not in the cache, and the hub was not or could not be asked."""


def snapshot_of(repo: str, *, subset: str | None, revision: str | None, offline: bool, cache_dir: str | None) -> Path:
    """The local folder that holds the data files of `repo` ("owner/name"); downloaded when absent and not offline.

    Raises DataError when the dataset is unknown, gated, not reachable, or not in the cache while offline.
    """
    import httpx2
    import huggingface_hub
    from huggingface_hub import errors

    name = glob.escape(subset) if subset else ""
    try:
        with users_umask():  # the hub's cache may belong to a group
            folder = huggingface_hub.snapshot_download(
                repo,
                repo_type="dataset",
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=offline,
                allow_patterns=[f"*{name}*{ending}" for ending in HUB_ENDINGS],
                ignore_patterns=DESCRIPTIONS,
            )
    except (errors.LocalEntryNotFoundError, httpx2.TransportError) as error:
        raise _out_of_reach(repo, revision, _entry(repo, cache_dir), _why(error, offline=offline)) from error
    except (errors.HFValidationError, errors.XetDownloadError, OSError) as error:
        raise _explained(error, repo, revision) from error
    return _whole(Path(folder), repo)


def _explained(error: Exception, repo: str, revision: str | None) -> DataError:
    """What a failed download means for the user, by the class of what huggingface_hub raised."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return DataError(
            f"{repo!r} is no name of a hub dataset.",
            means="Hub datasets are named owner/name.",
            remedy="Correct data.dataset, or name a local file or folder there.",
        )
    if isinstance(error, errors.GatedRepoError):
        return DataError(
            f"The dataset {repo} is gated: its owner wants its terms accepted first.",
            means="The hub refuses the download for this account, or no account is logged in.",
            remedy=f"Accept the terms on {page(repo)}, then log in on this machine with: hf auth login",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return DataError(
            f"The hub shows no dataset {repo}.",
            means="The name is misspelled, or the dataset is private and no account that may see it is logged in.",
            remedy=f"Check {page(repo)}. For a private dataset, log in with: hf auth login",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return DataError(
            f"The dataset {repo} has no revision {revision!r}.",
            means="data.revision names a branch, tag or commit that does not exist.",
            remedy=f"Choose one from {page(repo)}/tree/main, or leave data.revision out.",
        )
    return DataError(
        f"The dataset {repo} could not be downloaded ({type(error).__name__}).",
        means="The hub did not answer as it should, or the disk did not take the files.",
        remedy=f"Check the network, free disk space, and {page(repo)}; then start again. What arrived is kept.",
    )


def page(repo: str) -> str:
    """The web page of a dataset."""
    return f"https://huggingface.co/datasets/{repo}"


def _entry(repo: str, cache_dir: str | None) -> Path:
    """The folder of the dataset in the hub's cache."""
    import huggingface_hub

    return Path(cache_dir or huggingface_hub.constants.HF_HUB_CACHE) / f"datasets--{repo.replace('/', '--')}"


def _why(error: Exception, *, offline: bool) -> str:
    """What kept the hub from being asked, in a sentence: only what is known."""
    from huggingface_hub import constants, errors

    if offline:
        return "The network was not to be used (offline)."
    if constants.is_offline_mode() or isinstance(error, errors.OfflineModeIsEnabled):
        return "The network was not to be used (HF_HUB_OFFLINE is set)."
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    cause = cause if isinstance(cause, Exception) else error
    said = next(iter(str(cause).splitlines()), "")[:120]
    return f"Asking the hub failed: {type(cause).__name__}{': ' if said else ''}{said}."


def _out_of_reach(repo: str, revision: str | None, entry: Path, why: str) -> OutOfReachError:
    wanted = f"{repo} (revision {revision})" if revision else repo
    return OutOfReachError(
        f"The dataset {wanted} is not, or not wholly, on this machine, and the hub is out of reach.",
        means=f"{why} {entry} does not hold all the files.",
        remedy=f"Once with a network, run: hf download --repo-type dataset {repo}\n"
        f"(page: {page(repo)}; a gated or private dataset needs: hf auth login), or name a local file as data.dataset.",
    )


def _whole(folder: Path, repo: str) -> Path:
    """The folder, after checking that no file in it is a link into nowhere."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.exists():
            raise DataError(
                f"The cached copy of {repo} lacks the content of {path.relative_to(folder)}.",
                means=f"{path} points to a file that is gone.",
                remedy=f"With a network, run: hf download --repo-type dataset --force-download {repo}",
            )
    return folder
