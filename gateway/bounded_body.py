"""A body whose length nobody has said, read whole or as far as a limit: it comes in as many parts as it likes."""

import aiohttp


async def read_at_most(content: aiohttp.StreamReader, limit_bytes: int) -> bytes:
    """Return a body, or one byte more than `limit_bytes` of one that is longer.

    Raises:
        aiohttp.ClientError, OSError, TimeoutError: as the stream does.
    """
    body = bytearray()
    while len(body) <= limit_bytes and (part := await content.read(limit_bytes + 1 - len(body))):
        body += part
    return bytes(body)
