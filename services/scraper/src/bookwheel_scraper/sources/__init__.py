"""The built-in source declarations (TOML files), and the code that loads declarations, schedules and sites."""
