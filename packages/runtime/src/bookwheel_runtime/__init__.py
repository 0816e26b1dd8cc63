"""What every Bookwheel process is made of: settings, logs, traces, problem responses, token checks."""
