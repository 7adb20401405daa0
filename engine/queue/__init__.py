"""Runs that wait for each other: the entries, and the process that starts one after another."""
