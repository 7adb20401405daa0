"""Rows on their way into files: other formats, shards, splits, mixtures, and the manifest of what was written."""
