"""Which files of a folder or of a hub dataset hold the wanted subset and split, judged by their names alone.

A subset is a folder ("full/train-00000-of-00001.parquet"; a folder named "data", or after a split, is none).
A split is the word train, validation or test, set off by punctuation, in the file's name or its folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from data.errors import DataError
from data.nearest import nearest

ALL_SPLITS = "all"
COMPRESSED_ENDINGS = (".gz", ".zst", ".bz2", ".xz")
ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz")
TEXT_ENDINGS = (".txt", ".md")
"""Prose. Beside files of rows it is a note, a licence or a page about them."""
HUB_SUFFIXES = (".parquet", ".arrow", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
HUB_ENDINGS = (*HUB_SUFFIXES, *(kind + packed for kind in HUB_SUFFIXES[2:] for packed in COMPRESSED_ENDINGS))
"""How the names of files on the hub end that are read."""
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
# JSON files that describe a dataset instead of holding it; the last three are written beside rows by `finetui data`.
_DESCRIPTIONS = frozenset(
    {
        *("dataset_infos.json", "dataset_info.json", "state.json", "dataset_dict.json", "package.json", "config.json"),
        *("manifest.json", "dataset_card.json", "rejected.jsonl"),
    }
)


# The usual word before the number of a shard says nothing about its split.
_SHARD_WORDS = frozenset({"data", "part", "shard", "file", "chunk", "rows"})


def row_suffix(name: str) -> str:
    """The ending of what a file holds inside its compression: ".jsonl" for "rows.jsonl.gz"; "" for none."""
    path = PurePosixPath(name.lower())
    while path.suffix in COMPRESSED_ENDINGS:
        path = path.with_suffix("")
    return path.suffix


def is_archive_name(name: str) -> bool:
    """Whether a file of this name is an archive of several files."""
    return row_suffix(name) in ARCHIVE_ENDINGS


def unpacked_name(name: str) -> str:
    """The name less the endings of compressions."""
    while name.lower().endswith(COMPRESSED_ENDINGS):
        name = name.rpartition(".")[0]
    return name


def holds_rows(name: str, suffixes: Iterable[str]) -> bool:
    """Whether a file of this relative name is read as part of a folder: a known ending, not hidden, no description."""
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return row_suffix(path.name) in suffixes and not hidden and unpacked_name(path.name.lower()) not in _DESCRIPTIONS


def row_names(names: Iterable[str], suffixes: Iterable[str]) -> list[str]:
    """Those of the files that are read, sorted: files of rows, where there are none archives, else prose.

    "rows.jsonl.gz" beside "rows.jsonl" is taken for the same rows and left out.
    """
    every = sorted(names)
    structured = [suffix for suffix in suffixes if suffix not in TEXT_ENDINGS]
    for endings in (structured, ARCHIVE_ENDINGS, TEXT_ENDINGS):
        found = [name for name in every if holds_rows(name, endings)]
        if found:
            return [name for name in found if unpacked_name(name) == name or unpacked_name(name) not in found]
    return []


def subset_of(name: str) -> str:
    """The subset a file belongs to: its folders, less "data" and those named after a split. "" for none."""
    folders = PurePosixPath(name).parts[:-1]
    return "/".join(part for part in folders if part != "data" and _split_in(part) is None)


def split_of(name: str) -> str | None:
    """train, validation or test; an unusual first word as in "prompt-00000-of-00001.parquet"; or None."""
    path = PurePosixPath(name)
    stem = PurePosixPath(unpacked_name(path.name)).stem
    for part in (stem, *reversed(path.parts[:-1])):
        found = _split_in(part)
        if found is not None:
            return found
    word = _shard_word(name)
    return None if word in _SHARD_WORDS else word


def _shard_word(name: str) -> str | None:
    """The whole first word of a shard's name: "train_sft" of "data/train_sft-00000-of-00003-a3ec.parquet"; or None."""
    shard = re.fullmatch(r"(\w+?)-\d{5}-of-\d{5}.*", PurePosixPath(unpacked_name(name)).stem)
    return shard[1] if shard else None


def choose(
    names: Iterable[str], where: str, subset: str | None, split: str | None, usual: tuple[str, ...] = ("train",)
) -> list[str]:
    """The files of one subset and one split, sorted.

    `where` names the dataset in errors. Without `subset`: the files that are in none, or the only subset. Without
    `split`: the first of `usual` that there is, or everything when no name says a split. Raises DataError naming
    the choices otherwise.
    """
    return _of_split(_of_subset(sorted(names), where, subset), where, split, usual)


def splits_beside(names: Iterable[str], chosen: list[str]) -> tuple[str, ...]:
    """The splits of the same subset that were not chosen: "validation", "test", …; sorted, train and validation first.

    `chosen` are what `choose` gave of the `names`.
    """
    read, subset = {split_of(name) for name in chosen}, subset_of(chosen[0])
    left = {split for name in names if subset_of(name) == subset and (split := split_of(name)) and split not in read}
    usual = list(SPLIT_WORDS)
    return tuple(sorted(left, key=lambda split: (usual.index(split) if split in usual else len(usual), split)))


def _of_subset(names: list[str], where: str, subset: str | None) -> list[str]:
    subsets = sorted({subset_of(name) for name in names})
    if subset is None and len(subsets) > 1 and "" not in subsets:
        raise _choice(where, "subsets", subsets, "data.subset", "None of them is the usual one.", None)
    wanted = subset if subset is not None else ("" if "" in subsets else subsets[0])
    if wanted not in subsets:
        raise _choice(where, "subsets", subsets, "data.subset", f"There is no subset {wanted!r}.", wanted)
    return [name for name in names if subset_of(name) == wanted]


def _of_split(names: list[str], where: str, split: str | None, usual: tuple[str, ...]) -> list[str]:
    if split == ALL_SPLITS:
        return names
    if exact := [name for name in names if _shard_word(name) == (split or usual[0])]:
        return exact
    by_split: dict[str | None, list[str]] = {}
    for name in names:
        by_split.setdefault(split_of(name), []).append(name)
    if split is None and (set(by_split) == {None} or (len(by_split) == 1 and not set(by_split) & set(SPLIT_WORDS))):
        return names
    found = next((name for name in usual if name in by_split), usual[0])
    wanted = found if split is None else _split_in(split) or split
    if wanted not in by_split:
        named = sorted(name for name in by_split if name is not None)
        raise _choice(where, "splits", [*named, ALL_SPLITS], "data.split", f"There is no split {wanted!r}.", wanted)
    return by_split[wanted]


def _split_in(text: str) -> str | None:
    words = re.split(r"[^a-z]+", text.lower())
    return next((split for split, spellings in SPLIT_WORDS.items() if any(word in spellings for word in words)), None)


def _choice(where: str, what: str, choices: list[str], key: str, means: str, wanted: str | None) -> DataError:
    near = nearest(wanted, choices) if wanted else []
    return DataError(
        f"{where} holds these {what}: {', '.join(choice or '(none)' for choice in choices)}.",
        means=means,
        remedy=f"Set {key} to one of them" + (f"; perhaps {near[0]!r} is meant." if near else "."),
    )
