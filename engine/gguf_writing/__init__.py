"""A merged model folder as a GGUF file, written with upstream's `gguf` package and held against llama.cpp itself.

Light to import: numpy, gguf and llama.cpp come in with the functions that need them. Not here: llama.cpp as a runtime
(`engine.gguf_runtime`), importance matrices and quantized types, and what an export is (`engine.exporters`).
"""

from engine.gguf_writing.conformity import Conformity, check_gguf
from engine.gguf_writing.families import problems
from engine.gguf_writing.writing import Written, write_gguf

__all__ = ["Conformity", "Written", "check_gguf", "problems", "write_gguf"]
