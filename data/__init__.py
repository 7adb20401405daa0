"""Rows: any dataset string -> conversations, split and accounted for. Imports nothing of ours from outside `data`."""
