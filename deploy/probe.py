"""Whether a Turnout process on this host lives: `python -m deploy.probe [URL]`, for health checks of containers.

Exit code 0 if the URL answers 200; without one, /healthz of the first operations port of gateway, ledger and witness on
which somebody listens. What was answered is printed.
"""

import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

PATIENCE_S: Final = 4.0
"""Less than the five seconds after which whoever started the probe gives it up."""
USUAL: Final = tuple(f"http://127.0.0.1:{port}/healthz" for port in (9464, 9465, 9466))
"""Of gateway, ledger and witness, where nobody has chosen another port."""


def probe(url: str) -> tuple[int, str]:
    """Return an answer's status and its text.

    Raises:
        OSError: nobody listens, or nobody answers in time.
        HTTPException: what is answered is not HTTP.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace").strip()
    finally:
        connection.close()


def main(urls: Sequence[str]) -> int:
    """Probe the first of the URLs at which somebody answers; return the exit code."""
    said = ""
    for url in urls:
        try:
            status, said = probe(url)
        except (OSError, HTTPException) as error:
            said = f"{url}: {error}"
            continue
        print(said)  # noqa: T201 - whoever looks at the container's health reads it
        return 0 if status == HTTPStatus.OK else 1
    print(said)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or USUAL))
