"""Users, API keys, tokens, JWKS and the gateway's verify endpoint."""

DEFAULT_PORT = 8083
