"""The codec endpoint of the Temporal UI: shows decrypted payloads to an operator who has the token.

The UI sends `POST …/decode` with payloads in protobuf's JSON mapping and `Authorization: Bearer <token>`. Without
`SUPPORTLY_CODEC_TOKEN` the endpoint does not exist.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from google.protobuf import json_format
from temporalio.api.common.v1 import Payloads

from supportly.crypto import CannotOpen, KeyRing
from supportly.errors import InvalidInput, NotAuthenticated, NotFound
from supportly.settings import Settings
from supportly.temporal import EncryptionCodec

router = APIRouter(prefix="/codec", include_in_schema=False)


def _cors(settings: Settings) -> dict[str, str]:
    """The UI is another origin; it alone may read what is answered here."""
    return {
        "Access-Control-Allow-Origin": settings.temporal_ui_url,
        "Access-Control-Allow-Headers": "authorization,content-type,x-namespace",
        "Access-Control-Allow-Methods": "POST,OPTIONS",
        "Vary": "Origin",
    }


def _allowed(settings: Settings, authorization: str) -> None:
    token = settings.codec_token.get_secret_value()
    if not token:
        raise NotFound("There is nothing at this address.")
    if not hmac.compare_digest(authorization.removeprefix("Bearer ").encode(), token.encode()):
        raise NotAuthenticated("The codec endpoint needs its own token.")


@router.options("/decode")
async def preflight(request: Request) -> Response:
    """What the browser asks before the UI may send the token."""
    return Response(status_code=204, headers=_cors(request.app.state.services.settings))


@router.post("/decode")
async def decode(request: Request, authorization: Annotated[str, Header()] = "") -> Response:
    """Decrypt payloads. Raises InvalidInput for what is no list of payloads, or needs a key that is gone."""
    settings: Settings = request.app.state.services.settings
    _allowed(settings, authorization)
    ring = KeyRing(settings.keys.get_secret_value())
    try:
        sealed = json_format.Parse(await request.body(), Payloads())
        opened: Any = Payloads(payloads=await EncryptionCodec(ring, lenient=True).decode(sealed.payloads))
    except (json_format.ParseError, UnicodeDecodeError):
        raise InvalidInput("The body is no list of payloads.", field="payloads") from None
    except CannotOpen as error:
        raise InvalidInput(f"Not opened: {error}.", field="payloads") from None
    body = json_format.MessageToJson(opened)
    return Response(body, media_type="application/json", headers=_cors(settings))
