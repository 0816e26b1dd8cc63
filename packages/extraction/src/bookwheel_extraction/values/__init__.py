"""Parses one text to one value."""

from bookwheel_extraction.values.parsed import Parsed, ValueFault

__all__ = ["Parsed", "ValueFault"]
