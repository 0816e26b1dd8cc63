"""One way to connect to Redis."""

from redis import Redis


def connect_redis(url: str, *, timeout: float = 5.0) -> "Redis":
    """A client that answers in bytes and gives up on a silent server after `timeout` seconds. No I/O until used."""
    return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, health_check_interval=30)
