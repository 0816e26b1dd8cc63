"""Downloads of the catalog."""
