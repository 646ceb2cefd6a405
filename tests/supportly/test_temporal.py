"""What Temporal holds is sealed, and stays readable while keys rotate."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError

from supportly.contracts.contacts import ActivityJob
from supportly.crypto import CannotOpen, KeyRing
from supportly.errors import BodyTooLarge
from supportly.settings import Settings
from supportly.temporal import LARGEST_PAYLOAD, EncryptionCodec, bulk, converter, search_attributes, waiting


def key(byte: int) -> str:
    return base64.urlsafe_b64encode(bytes([byte]) * 32).decode()


OLD, NEW = f"k1:{key(1)}", f"k2:{key(2)},k1:{key(1)}"
JOB = ActivityJob(account_id=1, provider="acme", operation_id="op", contact_id=2, content="Ann Lee called about X")


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=8), st.binary(max_size=8), max_size=3))
async def test_payloads_come_back_as_they_went(data, metadata):
    codec = EncryptionCodec(KeyRing(OLD))
    plain = Payload(metadata={**metadata, "encoding": b"json/plain"}, data=data)
    sealed = await codec.encode([plain])
    assert await codec.decode(sealed) == [plain]
    assert sealed[0].metadata["encoding"] == b"binary/encrypted"


async def test_nothing_is_readable_in_the_bytes():
    settings = Settings(keys=OLD)
    sealed = await converter(settings).encode([JOB])
    raw = b"".join(p.SerializeToString() for p in sealed)
    for word in (b"Ann", b"acme", b"content", b"json"):
        assert word not in raw
    assert await converter(settings).decode(sealed, [ActivityJob]) == [JOB]


async def test_what_temporal_would_refuse_is_told_before():
    codec = EncryptionCodec(KeyRing(OLD))
    [sealed] = await codec.encode([Payload(data=b"x" * (LARGEST_PAYLOAD - 100))])
    assert sealed.ByteSize() < 2 * 1024 * 1024
    with pytest.raises(BodyTooLarge) as caught:
        await codec.encode([Payload(data=b"x" * LARGEST_PAYLOAD)])
    assert caught.value.status == 413


async def test_failures_are_sealed_too():
    found = converter(Settings(keys=OLD))
    failure = Failure()
    await found.encode_failure(ApplicationError("Ann Lee is unknown", {"message": "Ann"}, type="not_found"), failure)
    assert b"Ann" not in failure.SerializeToString()
    back = await found.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.message, back.details, back.type) == ("Ann Lee is unknown", ({"message": "Ann"},), "not_found")


async def test_keys_rotate():
    old, new = EncryptionCodec(KeyRing(OLD)), EncryptionCodec(KeyRing(NEW))
    plain = [Payload(data=b"x")]
    before, after = await old.encode(plain), await new.encode(plain)
    assert await new.decode(before) == plain
    named = [payload[0].metadata["encryption-key-id"] for payload in (before, after)]
    assert named == [b"k1", b"k2"]
    with pytest.raises(CannotOpen):
        await old.decode(after)


async def test_what_is_not_sealed_is_not_read_but_by_those_who_only_look():
    plain = [Payload(metadata={"encoding": b"json/plain"}, data=b"1")]
    [came] = await EncryptionCodec(KeyRing(OLD)).decode(plain)
    assert (came.metadata["encoding"], came.data) == (b"binary/unsealed", b"")
    with pytest.raises(KeyError, match="unsealed"):
        PayloadConverter.default.from_payloads([came])
    assert await EncryptionCodec(KeyRing(OLD), lenient=True).decode(plain) == plain


@pytest.mark.parametrize(
    "bad",
    [
        {"metadata": {"encoding": b"binary/encrypted"}},
        {"metadata": {"encoding": b"binary/encrypted", "encryption-key-id": b"k1"}},
        {"metadata": {"encoding": b"binary/encrypted", "encryption-key-id": b"k1"}, "data": b"short"},
        {"metadata": {"encoding": b"binary/encrypted", "encryption-key-id": b"\xff"}, "data": b"x" * 40},
        {"metadata": {"encoding": b"binary/encrypted", "encryption-key-id": b"k1"}, "data": b"x" * 40},
    ],
)
async def test_damage_has_one_name(bad):
    with pytest.raises(CannotOpen):
        await EncryptionCodec(KeyRing(OLD)).decode([Payload(**bad)])


async def test_a_payload_key_is_not_a_database_key():
    sealed = await EncryptionCodec(KeyRing(OLD)).encode([Payload(data=b"x")])
    nonce, body = sealed[0].data[:12], sealed[0].data[12:]
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    with pytest.raises(InvalidTag):
        AESGCM(bytes([1]) * 32).decrypt(nonce, body, b"k1")


def test_attributes_and_priorities_name_no_person():
    found = {pair.key.name: pair.value for pair in search_attributes(7, "acme")}
    assert found == {"SupportlyAccount": "7", "SupportlyProvider": "acme"}
    assert waiting(7).priority_key < bulk(7).priority_key
    assert waiting(7).fairness_key == bulk(7).fairness_key == "7"
