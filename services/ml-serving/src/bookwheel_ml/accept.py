"""Which of the offered media types a client wants, by its Accept header (RFC 9110, section 12.5.1)."""

from collections.abc import Sequence

from bookwheel_contracts.problems import NotAcceptableError


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """The offered type of the highest quality; the earlier one where equal. Raises NotAcceptable."""
    wanted = _parse(accept or "*/*")
    best = max(offered, key=lambda name: _quality(name, wanted))
    if _quality(best, wanted) <= 0:
        raise NotAcceptableError(f"Offered here: {', '.join(offered)}.")
    return best


def _parse(accept: str) -> dict[str, float]:
    wanted = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        wanted[name] = quality
    return wanted


def _quality(name: str, wanted: dict[str, float]) -> float:
    """The most specific range that holds the type decides."""
    for media_range in (name, f"{name.partition('/')[0]}/*", "*/*"):
        if media_range in wanted:
            return wanted[media_range]
    return 0.0
