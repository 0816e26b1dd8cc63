"""Source declarations: the TOML files here, their schedules and sites."""
