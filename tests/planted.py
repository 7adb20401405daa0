"""Secrets planted where a user keeps them, and the search for them in every file that a run writes.

Commands of the tests of whole runs work with these in their environment, under a umask that closes nothing.
"""

from __future__ import annotations

from pathlib import Path

OPEN_UMASK = 0o000
SECRETS = {
    "HF_TOKEN": "hf_" + "pLaNtEd" * 5,
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "OPENAI_API_KEY": "sk-proj-" + "planted-" * 6,
    "ANTHROPIC_API_KEY": "sk-ant-" + "planted-" * 6,
    "GITHUB_TOKEN": "ghp_" + "pLaNtEd0" * 4 + "1234",
}
PROXY_PASSWORD = "planted-in-the-proxy"
IN_TOKEN_FILE = "hf_" + "kEpTiNaFiLe" * 3


def environment(folder: Path) -> dict[str, str]:
    """The secrets as variables, and a token file of the hub in that folder. The proxy leads nowhere."""
    token_file = folder / "hub-token"
    if not token_file.exists():
        token_file.write_text(IN_TOKEN_FILE)
    proxy = {"HTTPS_PROXY": f"http://me:{PROXY_PASSWORD}@127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
    return SECRETS | proxy | {"HF_TOKEN_PATH": str(token_file)}


def leaks(folder: Path) -> list[str]:
    """Every file below a folder that holds a planted secret, as "path: whose"."""
    wanted = {**SECRETS, "the proxy": PROXY_PASSWORD, "the token file": IN_TOKEN_FILE}
    found = []
    for path in _files(folder):
        content = path.read_bytes()
        found += [f"{path}: {name}" for name, secret in wanted.items() if secret.encode() in content]
    return found


def open_to_others(folder: Path) -> list[str]:
    """Every file and folder, the given one included, that another account may read, write or enter."""
    every = {path: path.lstat() for path in (folder, *folder.rglob("*")) if not path.is_symlink()}
    return [f"{path}: {found.st_mode:o}" for path, found in every.items() if found.st_mode & 0o077]


def num_files(folder: Path) -> int:
    """So many files were looked at: a search of nothing finds nothing."""
    return len(_files(folder))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
