"""The verifier's page where Turnout serves it, at /verify, and as a file to hand over (`turnout verifier`)."""

import re
from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.verifier.build import page

PATH: Final = "/verify"
_POLICY: Final = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


def page_route() -> web.RouteDef:
    """Return the route of the page."""
    body = page().encode()
    policy = _POLICY.search(page())
    if policy is None:
        raise ValueError("the page has no Content-Security-Policy")
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        # In a header the policy holds before the first byte is read; and only here can it forbid frames.
        "Content-Security-Policy": policy[1] + "; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def serve(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's handler
        return web.Response(body=body, headers=headers)

    return web.get(PATH, serve, name="verify")


def write_page(path: Path) -> int:
    """Write the one self-contained file; return its length in bytes."""
    return path.write_bytes(page().encode())
