"""The accounts service: users, sessions, API keys, tokens, and the credential check of the gateway."""

DEFAULT_PORT = 8083
