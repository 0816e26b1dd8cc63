"""Quality of runs and the quarantine."""
