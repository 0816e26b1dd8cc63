"""Cleans and validates scraped items. Pure functions: no I/O, no clock."""
