"""`health`, a verb of every service: does the one on this machine get on with its work?"""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

_SECONDS = 5.0


def answers(port: int, path: str = "/readyz") -> int:
    """Exit status for a service that listens on a port here: 0 where it answers `path` with 2xx; else 1, and why on
    standard error.
    """
    url = f"http://127.0.0.1:{port}{path}"
    try:
        with urlopen(url, timeout=_SECONDS):
            return 0
    except HTTPError as error:
        print(f"{path} answers {error.code}: {error.read(500).decode(errors='replace')}", file=sys.stderr)
    except OSError as error:
        print(f"{path} does not answer: {error}", file=sys.stderr)
    return 1
