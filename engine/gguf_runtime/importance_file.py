"""The importance matrix on disk, in the GGUF layout that llama.cpp's own tools write and read.

Per tensor: `NAME.in_sum2`, the sum of squared inputs of each column, and `NAME.counts`, over how many tokens.
Layout: llama.cpp, tools/imatrix. Not here: measuring it (`importance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

SUMS, COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True, slots=True)
class Importance:
    """Sums of squared inputs by tensor (float32, one per column), all over `num_tokens` tokens of `num_rows` rows.

    `source` says in words whose rows they were.
    """

    sums: Mapping[str, np.ndarray]
    num_tokens: int
    num_rows: int
    source: str

    def mean_squares(self) -> dict[str, np.ndarray]:
        """What quantizing weighs each column by."""
        import numpy as np

        return {name: np.ascontiguousarray(sums / self.num_tokens, np.float32) for name, sums in self.sums.items()}


def write_importance(path: Path, importance: Importance) -> None:
    """Write it whole, one chunk per row of text. Raises OSError."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, arch="imatrix")
    writer.kv_data[0].clear()  # upstream's files have a type and no architecture
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [importance.source])
    writer.add_uint32("imatrix.chunk_count", importance.num_rows)
    writer.add_uint32("imatrix.chunk_size", -(-importance.num_tokens // max(1, importance.num_rows)))
    writer.add_uint32("finetui.num_tokens", importance.num_tokens)
    for name, sums in sorted(importance.sums.items()):
        writer.add_tensor(name + SUMS, sums.reshape(1, -1).astype(np.float32))
        writer.add_tensor(name + COUNTS, np.full((1, 1), importance.num_tokens, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_importance(path: Path) -> Importance:
    """Read one back, upstream's too. Raises ModelError for a file that is none."""
    import numpy as np
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        tensors = {tensor.name: np.array(tensor.data, np.float32).reshape(-1) for tensor in reader.tensors}
        counts = {name.removesuffix(COUNTS): float(data[0]) for name, data in tensors.items() if name.endswith(COUNTS)}
        num_tokens = int(max(counts.values()))
        sums = {name: tensors[name + SUMS] * (num_tokens / count) for name, count in counts.items() if count}
        chunks = reader.get_field("imatrix.chunk_count")
        datasets = reader.get_field("imatrix.datasets")
    except (OSError, ValueError, KeyError, IndexError) as fault:
        raise ModelError(
            f"{path} cannot be read as an importance matrix: {fault}",
            means="It is damaged, or of the older layout without a GGUF header.",
            remedy="Remove it and export again: it is measured anew from your rows.",
        ) from fault
    return Importance(
        sums,
        num_tokens,
        int(chunks.contents()) if chunks else 0,
        str(datasets.contents()[0]) if datasets else "",
    )
