"""Reads the body of a request, bounded in size and time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from selfimprove.foreign import whole_number
from selfimprove.serving.requests import BadRequest

PATIENCE = 30.0
"""Seconds in which a body must arrive."""
DRAINED = 256 << 20
"""Most bytes of a body that is too large which are read and dropped, so that its sender hears why it is refused."""


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request.

    Raises:
        BadRequest: it is too large, or comes too slowly.
    """
    said = request.headers.get("content-length", "")
    large = BadRequest(f"the body has more than {most} bytes", code=413)
    if (whole_number(said) or 0) > most and "100-continue" in request.headers.get("expect", "").lower():
        raise large  # its sender has not begun
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    parts.append(part)
                elif size > DRAINED:
                    break
                else:
                    parts.clear()
    except TimeoutError as error:
        raise BadRequest(f"the body did not arrive within {PATIENCE:.0f} seconds", code=408) from error
    if size > most:
        raise large
    return b"".join(parts)
