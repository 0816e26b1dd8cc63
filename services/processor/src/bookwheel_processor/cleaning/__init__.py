"""From what a page says to what Bookwheel keeps. Pure functions: no I/O, no clock."""
