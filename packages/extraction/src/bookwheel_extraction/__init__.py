"""Reads books from shop pages and values from texts. Pure functions: no I/O, no clock."""
