"""Datasets of the Hugging Face Hub: downloads into the hub's own cache, or finds there. Which of the files are read
is decided in `file_choice`; reading them is no concern here. huggingface_hub is loaded only inside `snapshot_of`.
"""

from __future__ import annotations

import glob
from pathlib import Path

from data.errors import DataError
from data.file_choice import HUB_SUFFIXES

DESCRIPTIONS = ["*dataset_infos.json", "*dataset_info.json", ".*", "*/.*"]


def snapshot_of(repo: str, *, subset: str | None, revision: str | None, offline: bool, cache_dir: str | None) -> Path:
    """The local folder that holds the data files of `repo` ("owner/name"); downloaded when absent and not offline.

    Raises DataError when the dataset is unknown, gated, not reachable, or not in the cache while offline.
    """
    import httpx2
    import huggingface_hub
    from huggingface_hub import errors

    name = glob.escape(subset) if subset else ""
    try:
        folder = huggingface_hub.snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=offline,
            allow_patterns=[f"*{name}*{suffix}" for suffix in HUB_SUFFIXES],
            ignore_patterns=DESCRIPTIONS,
        )
    except (errors.LocalEntryNotFoundError, httpx2.TransportError) as error:
        cache = Path(cache_dir or huggingface_hub.constants.HF_HUB_CACHE)
        raise _out_of_reach(repo, revision, cache / f"datasets--{repo.replace('/', '--')}") from error
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


def _out_of_reach(repo: str, revision: str | None, entry: Path) -> DataError:
    wanted = f"{repo} (revision {revision})" if revision else repo
    return DataError(
        f"The dataset {wanted} is not, or not wholly, on this machine, and the hub is out of reach.",
        means=f"The network is off or offline mode is on, and {entry} does not hold all the files.",
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
