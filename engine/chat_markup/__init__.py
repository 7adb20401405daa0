"""What a chat template puts around messages, found by rendering, and the same as a template for Ollama.

Not here: tokens and labels of rows (`engine.training.rendering`), and the exporter (`engine.exporters.ollama`).
"""
