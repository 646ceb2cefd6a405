"""The one way into Temporal, for API, worker and tests: pydantic messages, encrypted payloads, encoded failures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import (
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    UpdateScheduleRequest,
)
from temporalio.client import Client, HeaderCodecBehavior
from temporalio.common import Priority, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec
from temporalio.service import RPCError, RPCStatusCode

from supportly.contracts import ids
from supportly.crypto import NONCE_BYTES, CannotOpen, KeyRing
from supportly.errors import BodyTooLarge
from supportly.settings import Settings
from supportly.telemetry.interceptors import interceptors
from supportly.telemetry.runtime import runtime

ENCODING: Final = b"binary/encrypted"
UNSEALED: Final = b"binary/unsealed"
"""What stands in for a payload that came in the clear: no converter reads it."""
KEY_ID: Final = "encryption-key-id"
"""Where an encrypted payload's metadata names its key."""
PURPOSE: Final = "temporal-payload"
LARGEST_PAYLOAD: Final = 2_000_000
"""Bytes, a little below the 2 MiB that Temporal takes: what surrounds a payload counts too."""

ACCOUNT: Final = SearchAttributeKey.for_keyword(ids.ACCOUNT_ATTRIBUTE)
PROVIDER: Final = SearchAttributeKey.for_keyword(ids.PROVIDER_ATTRIBUTE)


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM over whole payloads; the key's id stands in the metadata, so that keys can rotate.

    Whoever reaches Temporal can hand it any payload, but only who has the key can seal one. One in the clear is not
    read: the SDK drops a signal that it can't read, refuses an update or query, and runs nothing else on it. With
    `lenient` it passes as it is, for people who look at histories.
    """

    def __init__(self, ring: KeyRing, *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._current = ring.current
        self._keys = {key_id: AESGCM(key) for key_id, key in ring.derive(PURPOSE).items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt. Raises BodyTooLarge for what Temporal would refuse."""
        return [self._seal(p) for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt. Raises CannotOpen for an unknown key or damage."""
        return [self._open(p) if p.metadata.get("encoding") == ENCODING else self._unsealed(p) for p in payloads]

    def _unsealed(self, payload: Payload) -> Payload:
        return payload if self._lenient else Payload(metadata={"encoding": UNSEALED})

    def _seal(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        key_id = self._current.encode()
        sealed = nonce + self._keys[self._current].encrypt(nonce, payload.SerializeToString(), key_id)
        if len(sealed) > LARGEST_PAYLOAD:
            raise BodyTooLarge(f"The request is larger than {LARGEST_PAYLOAD} bytes, which Temporal does not take.")
        return Payload(metadata={"encoding": ENCODING, KEY_ID: key_id}, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"")
        key = self._keys.get(key_id.decode(errors="replace"))
        if key is None:
            raise CannotOpen("a Temporal payload needs a key that is not in the ring")
        try:
            plain = key.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], key_id)
        except (InvalidTag, ValueError):
            raise CannotOpen("a Temporal payload is damaged") from None
        return Payload.FromString(plain)


def converter(settings: Settings) -> DataConverter:
    """Pydantic in, encrypted out; failure messages and stack traces are encrypted too."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=EncryptionCodec(KeyRing(settings.keys.get_secret_value())),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


async def connect(settings: Settings) -> Client:
    """A client for the configured server and namespace. Raises RuntimeError when the server is away."""
    key = settings.temporal_api_key.get_secret_value()
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=converter(settings),
        api_key=key or None,
        tls=bool(key),
        interceptors=interceptors(tracing=settings.tracing),
        header_codec_behavior=HeaderCodecBehavior.CODEC,
        runtime=runtime(settings.temporal_metrics_address),
    )


def search_attributes(account_id: int, provider: str = "") -> TypedSearchAttributes:
    """How people find a workflow in the Temporal UI: by account, and by provider where it has one."""
    pairs = [SearchAttributePair(ACCOUNT, str(account_id))]
    return TypedSearchAttributes([*pairs, *([SearchAttributePair(PROVIDER, provider)] if provider else [])])


def waiting(account_id: int) -> Priority:
    """Priority of what a person waits for; accounts take turns."""
    return Priority(priority_key=ids.PRIORITY_WAITING, fairness_key=str(account_id))


def bulk(account_id: int) -> Priority:
    """Priority of bulk work; accounts take turns."""
    return Priority(priority_key=ids.PRIORITY_BULK, fairness_key=str(account_id))


async def read_schedule(client: Client, name: str) -> DescribeScheduleResponse:
    """A Schedule as Temporal holds it, its payloads sealed. Raises RPCError."""
    asked = DescribeScheduleRequest(namespace=client.namespace, schedule_id=name)
    return await client.workflow_service.describe_schedule(asked, retry=True)


async def amend_schedule(client: Client, name: str, found: DescribeScheduleResponse) -> None:
    """Store a Schedule that was read and changed, if nobody else has changed it since. Raises RPCError.

    Where somebody has, nothing is stored, and not every release of Temporal's scheduler says so; what is stored is seen
    a moment later. So read it again. The SDK's own `update` sends no conflict token: it writes over what it didn't see.
    """
    amended = UpdateScheduleRequest(
        namespace=client.namespace,
        schedule_id=name,
        schedule=found.schedule,
        conflict_token=found.conflict_token,
        identity=client.identity,
        request_id=str(uuid4()),
    )
    try:
        await client.workflow_service.update_schedule(amended, retry=True)
    except RPCError as error:
        if error.status != RPCStatusCode.FAILED_PRECONDITION:
            raise
