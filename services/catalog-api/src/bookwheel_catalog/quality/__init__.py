"""Quality reports and the quarantine."""
