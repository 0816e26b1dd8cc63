"""Content negotiation by the `Accept` header (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence

from bookwheel_contracts.problems import NotAcceptableError


def choose_media_type(accept: str | None, offered_types: Sequence[str]) -> str:
    """Returns the first offered type with the highest quality. Raises NotAcceptableError if the client accepts none."""
    qualities_by_range = _parse_accept(accept or "*/*")
    best_type = max(offered_types, key=lambda media_type: _get_quality(media_type, qualities_by_range))
    if _get_quality(best_type, qualities_by_range) <= 0:
        raise NotAcceptableError(f"`Accept` is invalid: use one of {', '.join(offered_types)}.")
    return best_type


def _parse_accept(accept: str) -> dict[str, float]:
    qualities_by_range = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        qualities_by_range[media_range] = quality
    return qualities_by_range


def _get_quality(media_type: str, qualities_by_range: dict[str, float]) -> float:
    """Returns the quality of the most specific matching range, or 0."""
    for media_range in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if media_range in qualities_by_range:
            return qualities_by_range[media_range]
    return 0.0
