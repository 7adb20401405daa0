"""Files of a hub dataset read over the network, a block at a time, without keeping them.

What a failed request means for the user is told by `hub`. huggingface_hub is loaded only inside functions.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from data.errors import DataError
from data.file_choice import row_suffix
from data.reading.blobs import Blob

BLOCK_BYTES = 4 * 1024 * 1024
Explained = Callable[[Exception], DataError]


def remote_files(repo: str, revision: str | None, explained: Explained) -> dict[str, Blob]:
    """Every file of the dataset by its name, of one commit whenever it is read.

    `explained` makes our error of what huggingface_hub raises, here and while the blobs are read.
    """
    import httpx2
    from huggingface_hub import HfApi, constants, errors

    try:
        # Passed by name because the class takes its default when it is loaded.
        api = HfApi(endpoint=constants.ENDPOINT)
        found = api.dataset_info(repo, revision=revision, files_metadata=True)
    except (errors.HFValidationError, httpx2.TransportError, OSError) as error:
        raise explained(error) from error
    return {
        file.rfilename: Blob(
            f"{repo}/{file.rfilename}",
            row_suffix(file.rfilename),
            None,
            _opener(f"datasets/{repo}@{found.sha}/{file.rfilename}", explained),
            sha256=file.lfs.sha256 if file.lfs is not None else None,
            num_bytes=file.size,
        )
        for file in found.siblings or []
    }


def _opener(path: str, explained: Explained) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        import httpx2
        from huggingface_hub import HfFileSystem, constants, errors

        try:
            file = HfFileSystem(endpoint=constants.ENDPOINT).open(path, "rb", block_size=BLOCK_BYTES)
        except (httpx2.TransportError, OSError) as error:
            # A missing file hides what the hub answered behind it.
            cause = error.__cause__ if isinstance(error.__cause__, errors.HfHubHTTPError) else error
            raise explained(cause) from error
        return io.BufferedReader(_Remote(file, explained), 64 * 1024)

    return opened


class _Remote(io.RawIOBase):
    """A file of the hub whose failures are ours."""

    def __init__(self, file: Any, explained: Explained) -> None:
        self._file, self._explained = file, explained

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        import httpx2

        try:
            data = self._file.read(len(buffer))
        except (httpx2.TransportError, OSError) as error:
            raise self._explained(error) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
