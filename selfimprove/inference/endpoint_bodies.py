"""The body of an answer from an HTTP endpoint: unpacked here and counted while it comes, so no answer fills the memory.

httpx's own decoders unpack each chunk as a whole, which may become a thousand times as long, once for each packing.
"""

from __future__ import annotations

import zlib
from typing import Any

LARGEST = 16 << 20
"""Bytes of the largest answer, unpacked."""
ACCEPTED = "gzip, deflate"
"""The packings that are asked for."""
_FORMATS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""Packing -> zlib's numbers for it; what calls itself deflate may lack the header."""


class BodyError(Exception):
    """A body that cannot be read."""


async def content(reply: Any, most: int = LARGEST) -> bytes:
    """The unpacked body of an answer whose head has come.

    Raises:
        BodyError: it is longer than `most`, packed in another way than asked for, or damaged.
    """
    packing = reply.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        unpack = None
    elif packing in _FORMATS:
        unpack = _Unpacked(_FORMATS[packing], most)
    else:
        raise BodyError(f"an answer packed as {packing[:40]!r}, where {ACCEPTED} were asked for")
    whole = bytearray()
    async for chunk in reply.aiter_raw():
        whole += chunk if unpack is None else unpack.more(chunk)
        if len(whole) > most:
            raise BodyError(f"an answer of more than {most} bytes; ask for fewer tokens, likeliest tokens or requests")
    if unpack is not None and not unpack.ended:
        raise BodyError("a packed answer that was cut off")
    return bytes(whole)


class _Unpacked:
    """Unpacks one stream, a little more than `most` bytes of it at most."""

    def __init__(self, formats: tuple[int, ...], most: int) -> None:
        self.formats, self.left = formats, most + 1
        self.stream = zlib.decompressobj(formats[0])
        self.begun = False

    @property
    def ended(self) -> bool:
        """Whether the stream came to its end."""
        return self.stream.eof

    def more(self, chunk: bytes) -> bytes:
        """What the next chunk unpacks to.

        Raises:
            BodyError: it cannot be unpacked.
        """
        if self.left <= 0:
            return b""
        try:
            made = self.stream.decompress(chunk, self.left)
        except zlib.error as error:
            if self.begun or len(self.formats) == 1:
                raise BodyError(f"a packed answer that is damaged: {error}") from error
            self.formats = self.formats[1:]
            self.stream = zlib.decompressobj(self.formats[0])
            return self.more(chunk)
        self.begun, self.left = True, self.left - len(made)
        return made
