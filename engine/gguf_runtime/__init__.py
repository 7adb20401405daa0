"""GGUF files in llama.cpp: run, measured and quantized, by the low-level binding of llama-cpp-python.

Not here: writing a GGUF file from a model folder (`engine.gguf_writing`), and what an export is (`engine.exporters`).
"""
