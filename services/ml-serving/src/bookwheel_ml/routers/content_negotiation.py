"""Content negotiation by the `Accept` header (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence

from bookwheel_contracts.problems import NotAcceptableError


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """Returns the offered type of the highest quality, the first of equals. Raises NotAcceptableError."""
    ranges = _parse(accept or "*/*")
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptableError(f"`Accept` is invalid: this resource offers {', '.join(offered)}.")
    return best


def _parse(accept: str) -> dict[str, float]:
    ranges = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        ranges[media_range] = quality
    return ranges


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    """Returns the quality of the most specific range that matches."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
