"""Signs deliveries as Standard Webhooks (standardwebhooks.com) has it. Pure."""

import hmac
from base64 import b64decode, b64encode

SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret


def signed_headers(secret: str, delivery_id: str, *, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers by which a receiver knows whom a delivery is from. `timestamp`: Unix seconds of this attempt.

    The signature is HMAC-SHA256 over `id.timestamp.body`, with what follows `whsec_` decoded from base64 as the key.
    """
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    signature = hmac.digest(key, b"%b.%d.%b" % (delivery_id.encode(), timestamp, body), "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }
