"""Talking to models: who may answer, the process that answers token by token, and what is said between the two.

The process that shows a conversation loads no library; the worker (`worker`) does. Not here: how a conversation is
drawn, and scoring many rows (`engine.evaluation`).
"""
