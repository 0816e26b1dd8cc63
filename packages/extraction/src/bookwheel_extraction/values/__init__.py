"""Parses texts to values."""
