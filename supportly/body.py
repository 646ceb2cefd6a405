"""The body of a provider's answer, read with bounded memory: not more than allowed, and few large ones at a time."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import AsyncExitStack
from typing import Final

import httpx

from supportly.errors import ProviderFailure

ENCODINGS: Final = "gzip"
"""What we accept besides plain bytes: every provider speaks it, and it can be undone piece by piece within a limit."""
LARGE: Final = 1_000_000
"""Bytes from which an answer is large: pages of a hundred records have a tenth of it."""
LARGE_AT_ONCE: Final = 4
"""Large answers that a process reads at a time; the others wait, each within its own deadline."""
GZIP: Final = 31
"""zlib's `wbits` for gzip with its header."""


class Gunzip:
    """Undoes gzip piece by piece; `left` is how many bytes may still come out."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)

    def feed(self, piece: bytes, left: int) -> bytes:
        """What `piece` unpacks to, at most `left` bytes. Raises zlib.error."""
        out = bytearray()
        while piece and len(out) < left:
            if self._member.eof:
                self._member = zlib.decompressobj(GZIP)  # several members make one body
            out += self._member.decompress(piece, left - len(out))
            piece = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return bytes(out)

    @property
    def whole(self) -> bool:
        """False while the end has not come."""
        return self._member.eof


class Reader:
    """Reads the answers of one process. Raises ProviderFailure for one that is too large or cannot be unpacked."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def read(self, response: httpx.Response) -> bytes:
        """The body, unpacked. One that says beforehand that it is too large is not read at all."""
        if response.is_stream_consumed:  # by a transport that needs no network, which unpacks as well
            if len(response.content) > self.max_bytes:
                raise self._too_large(response)
            return response.content
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.max_bytes:
            raise self._too_large(response)
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", ENCODINGS):
            raise ProviderFailure(
                "The provider packed its answer in a way that was not asked for.",
                provider_status=response.status_code,
                transient=True,
            )
        gunzip = Gunzip() if encoding == ENCODINGS else None
        body, waited = bytearray(), False
        async with AsyncExitStack() as turn:
            async for piece in response.aiter_raw():
                body += self._unpacked(response, gunzip, piece, len(body))
                if len(body) > self.max_bytes:
                    raise self._too_large(response)
                if len(body) > LARGE and not waited:
                    await turn.enter_async_context(self._large)
                    waited = True
        if gunzip and body and not gunzip.whole:
            raise httpx.RemoteProtocolError("the packed answer has no end")
        return bytes(body)

    def _unpacked(self, response: httpx.Response, gunzip: Gunzip | None, piece: bytes, read: int) -> bytes:
        if gunzip is None:
            return piece
        try:
            return gunzip.feed(piece, self.max_bytes + 1 - read)
        except zlib.error:
            raise ProviderFailure(
                "The provider's answer cannot be unpacked.", provider_status=response.status_code, transient=True
            ) from None

    def _too_large(self, response: httpx.Response) -> ProviderFailure:
        return ProviderFailure(
            f"The provider's answer is larger than {self.max_bytes} bytes.", provider_status=response.status_code
        )
