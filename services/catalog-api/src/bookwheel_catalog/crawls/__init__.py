"""Sources and crawls."""
