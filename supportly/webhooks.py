"""Signed webhooks by the Standard Webhooks scheme (version 1: HMAC-SHA256 over id, time and body)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from hashlib import sha256


def headers(event_id: str, at: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers of one attempt at `at` (epoch seconds), signed with each of `keys`.

    A receiver takes the event when one signature is right, so that secrets can be changed one side at a time.
    """
    content = b".".join((event_id.encode(), str(at).encode(), body))
    signatures = [base64.b64encode(hmac.new(key, content, sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
