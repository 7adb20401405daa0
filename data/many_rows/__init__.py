"""Millions of rows by a key or in an order, with memory that does not grow."""
