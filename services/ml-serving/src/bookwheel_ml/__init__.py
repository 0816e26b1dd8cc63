"""Features, training, evaluation, registry and serving of rating predictions."""

DEFAULT_PORT = 8082
API_PREFIX = "/api/v1/ml"
