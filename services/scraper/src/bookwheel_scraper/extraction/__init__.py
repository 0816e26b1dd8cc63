"""Turns the books of a page into payloads."""
