"""The codec endpoint: the Temporal UI's way to plain payloads, for those who have its token."""

import httpx
import pytest
from google.protobuf import json_format
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads

from api.app import create_app
from supportly.crypto import KeyRing
from supportly.settings import Settings
from supportly.temporal import EncryptionCodec

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"what the workflow was asked"')


async def asked(settings: Settings, *, token: str, body: bytes) -> httpx.Response:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client,
    ):
        return await client.post("/codec/decode", content=body, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"codec_token": SecretStr("operators-only")})


async def sealed(settings: Settings) -> bytes:
    codec = EncryptionCodec(KeyRing(settings.keys.get_secret_value()))
    return json_format.MessageToJson(Payloads(payloads=await codec.encode([PLAIN]))).encode()


async def test_an_operator_reads_a_payload(open_settings: Settings) -> None:
    body = await sealed(open_settings)
    assert b"workflow was asked" not in body
    answer = await asked(open_settings, token="operators-only", body=body)
    assert answer.status_code == 200
    assert list(json_format.Parse(answer.content, Payloads()).payloads) == [PLAIN]
    assert answer.headers["access-control-allow-origin"] == open_settings.temporal_ui_url


async def test_nobody_else_does(open_settings: Settings, settings: Settings) -> None:
    body = await sealed(open_settings)
    assert (await asked(open_settings, token="wrong", body=body)).status_code == 401
    assert (await asked(settings, token="", body=body)).status_code == 404


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"payloads": [{"data": 5}]}'])
async def test_what_is_no_payload_is_refused(open_settings: Settings, body: bytes) -> None:
    answer = await asked(open_settings, token="operators-only", body=body)
    assert answer.status_code == 422
    assert answer.json()["details"]["field"] == "payloads"


async def test_a_lost_key_is_named(open_settings: Settings) -> None:
    other = EncryptionCodec(KeyRing("k9:" + "A" * 43 + "="))
    body = json_format.MessageToJson(Payloads(payloads=await other.encode([PLAIN]))).encode()
    answer = await asked(open_settings, token="operators-only", body=body)
    assert answer.status_code == 422
