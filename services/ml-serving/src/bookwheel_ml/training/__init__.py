"""Reads the records, fits and evaluates a model, and registers it. `worker` runs the training runs of the queue."""
