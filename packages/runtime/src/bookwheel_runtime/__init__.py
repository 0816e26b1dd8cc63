"""Shared parts of every Bookwheel process: settings, logs, traces, metrics, health, HTTP apps, token checks."""
