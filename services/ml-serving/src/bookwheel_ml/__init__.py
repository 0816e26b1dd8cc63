"""Features, training, evaluation, registry and serving of rating predictions."""
