"""Envelope encryption: AES-256-GCM, a data key per connection (or row), wrapped by a ring of keys.

A sealed text is `1.{key id}.{base64 of wrapped key, nonce, ciphertext}`. Its associated data binds the version, the key
id and everything in `Binding`, so a value moved to another row, field or tenant does not open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = "1"
NONCE_BYTES: Final = 12
"""AES-GCM's standard nonce length (NIST SP 800-38D)."""
KEY_BYTES: Final = 32


class CannotOpen(Exception):
    """A sealed value that is damaged, was moved, or needs a key that the ring does not have."""


@dataclass(frozen=True)
class Binding:
    """Where a sealed value belongs; opening it anywhere else fails."""

    account_id: int
    provider: str
    owner: str
    """Id of the row that the value belongs to: a connection, an authorization, an operation."""
    field: str

    def bytes(self, key_id: str) -> bytes:
        """The associated data: length-prefixed, so that no two bindings look alike."""
        parts = (VERSION, key_id, str(self.account_id), self.provider, self.owner, self.field)
        return b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)


class KeyWrap(Protocol):
    """Wraps and unwraps data keys; a key management service can stand behind it."""

    @property
    def current(self) -> str:
        """Id of the key that wraps new data keys."""

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Wrap with the current key."""

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap with the key named; raises CannotOpen."""


class KeyRing:
    """Keys held in memory, from `SUPPORTLY_KEYS="k2:…,k1:…"`: the first one writes, all of them read."""

    def __init__(self, text: str) -> None:
        self._keys: dict[str, AESGCM] = {}
        self._raw: dict[str, bytes] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            key_id, _, encoded = entry.partition(":")
            try:
                raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            except (binascii.Error, ValueError):
                raw = b""
            if not key_id or "." in key_id or len(raw) != KEY_BYTES:
                raise ValueError(f"SUPPORTLY_KEYS: the key `{key_id}` is not `id:` and 32 bytes in base64url")
            if key_id in self._keys:
                raise ValueError(f"SUPPORTLY_KEYS: the key id `{key_id}` stands twice")
            self._keys[key_id], self._raw[key_id] = AESGCM(raw), raw
        if not self._keys:
            raise ValueError("SUPPORTLY_KEYS is empty")

    @property
    def current(self) -> str:
        """Id of the key that writes."""
        return next(iter(self._keys))

    @property
    def ids(self) -> list[str]:
        """Ids of all keys, the one that writes first."""
        return list(self._keys)

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Wrap a data key with the first key."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._keys[self.current].encrypt(nonce, data_key, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap a data key with the key that wrapped it."""
        key = self._keys.get(key_id)
        if key is None:
            raise CannotOpen(f"the key `{key_id}` is not in the ring")
        try:
            return key.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CannotOpen("the value is damaged or belongs elsewhere") from None

    def derive(self, purpose: str) -> dict[str, bytes]:
        """One key per ring entry for another purpose (Temporal's payloads), so that no key serves two."""
        return {key_id: hmac.new(raw, purpose.encode(), sha256).digest() for key_id, raw in self._raw.items()}


def key_of(sealed: str) -> str:
    """Id of the key that a sealed text needs; raises CannotOpen for any other text."""
    version, key_id, body = (*sealed.split(".", 2), "", "")[:3]
    if version != VERSION or not key_id or not body:
        raise CannotOpen("the value is not sealed")
    return key_id


class Vault:
    """Seals and opens values."""

    def __init__(self, keys: KeyWrap) -> None:
        self._keys = keys

    @property
    def current(self) -> str:
        """Id of the key that seals."""
        return self._keys.current

    def seal(self, plain: bytes, binding: Binding) -> str:
        """Encrypt `plain` for `binding` under a fresh data key."""
        key_id = self._keys.current
        context = binding.bytes(key_id)
        data_key = os.urandom(KEY_BYTES)
        wrapped = self._keys.wrap(data_key, context)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(data_key).encrypt(nonce, plain, context)
        body = len(wrapped).to_bytes(2, "big") + wrapped + nonce + sealed
        return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(body).decode()}"

    def open(self, sealed: str, binding: Binding) -> bytes:
        """Decrypt; raises CannotOpen when the value is not exactly what was sealed for `binding`."""
        try:
            version, key_id, encoded = sealed.split(".", 2)
            body = base64.urlsafe_b64decode(encoded)
            size = int.from_bytes(body[:2], "big")
            wrapped, rest = body[2 : 2 + size], body[2 + size :]
        except (ValueError, binascii.Error):
            raise CannotOpen("the value is damaged") from None
        if version != VERSION:
            raise CannotOpen(f"version {version} of sealed values is not known")
        context = binding.bytes(key_id)
        data_key = self._keys.unwrap(key_id, wrapped, context)
        try:
            return AESGCM(data_key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CannotOpen("the value is damaged or belongs elsewhere") from None
