"""The model registry: its interface, its MLflow implementation, and the child process that runs MLflow."""
