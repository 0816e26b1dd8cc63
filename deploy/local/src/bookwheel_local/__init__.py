"""Installs, starts, monitors and stops the suite on one machine without containers."""
