"""One machine, no containers: installs, starts, watches and stops the suite."""
