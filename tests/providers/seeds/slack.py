"""Slack's records for the contract suite."""

from __future__ import annotations

import time
from typing import Any, Final

from supportly.errors import NotFound, ProviderFailure, Throttled, TokenRefused
from supportly.provider import Call
from supportly.providers.slack import api
from tests.providers.harness import World
from tests.providers.seeds.shape import Limit, Seeds, SheetError, StreamSeed

GENERAL: Final = "C0GENERAL"
DAY: Final = 86_400
NOW: Final = int(time.time())


def _ts(number: int) -> str:
    """A message's time. From 9001 on days apart, two of them so old that they are not read again."""
    days = {9001: -9.0, 9003: -8.0}.get(number, number - 9006.5)
    at = NOW + int(days * DAY) if 9001 <= number <= 9009 else NOW - 20 * DAY + number
    return f"{at}.000100"


def _message(number: int, title: str, text: str) -> dict[str, Any]:
    return {"id": f"{GENERAL}:{_ts(number)}", "channel": GENERAL, "ts": _ts(number), "text": f"{title}\n{text}"}


def _no(error: str, **more: Any) -> dict[str, Any]:
    return {"ok": False, "error": error, **more}


async def _post(world: World, call: Call) -> None:
    await api.post(call, "chat.postMessage", {"channel": GENERAL, "text": "x"})


def _refused(*words: str) -> tuple[SheetError, ...]:
    return tuple(SheetError(word, 200, _no(word), ProviderFailure, code=word) for word in words)


SEEDS = Seeds(
    person=lambda _, name, email, phone: {"users": [{"real_name": name, "profile": {"email": email, "phone": phone}}]},
    phones=False,
    streams={
        "channels": StreamSeed(
            "messages",
            _message,
            key=lambda n: f"T0SANDBOX:{GENERAL}:{_ts(n)}",
            broken=lambda n: {**_message(n, "", ""), "text": ["a list where a text belongs"]},
        )
    },
    world=lambda _: {
        "users": [{"id": f"U00{n}", "real_name": f"Member {n}"} for n in range(3)],
        "channels": [{"id": f"C00{n}", "name": f"channel-{n}"} for n in range(3)],
        "messages": [
            {**_message(1, "Ours", "a"), "bot_id": "B0BOT"},
            _message(2, "A question", "b"),
            *({**_message(n, "An answer", str(n)), "thread_ts": _ts(2)} for n in (3, 4)),
        ],
    },
    params=lambda _: {
        "get_channel": {"channel_id": GENERAL},
        "post_message": {"channel_id": GENERAL, "text": "The customer has called back."},
        "update_message": {"channel_id": GENERAL, "ts": _ts(1), "text": "Solved."},
        "delete_message": {"channel_id": GENERAL, "ts": _ts(1)},
        "open_dm": {"user_ids": ["U001"]},
        "join_channel": {"channel_id": GENERAL},
        "get_thread": {"channel_id": GENERAL, "ts": _ts(2)},
    },
    settings={"channel": GENERAL, "channels": [GENERAL], "lookback_days": 5},
    account=lambda n: ({"team": f"T0{n}"}, {}),
    errors=(
        SheetError("HTTP 429", 429, _no("ratelimited"), Throttled, retryable=True, headers={"retry-after": "30"},
                   pause=(30, 30)),
        SheetError("postMessage's own word", 429, _no("rate_limited"), Throttled, retryable=True,
                   headers={"retry-after": "1"}, pause=(1, 1)),
        SheetError("ratelimited under 200", 200, _no("ratelimited"), Throttled, retryable=True, pause=(1, 60)),
        *(SheetError(word, 200, _no(word), TokenRefused)
          for word in ("invalid_auth", "not_authed", "token_revoked", "account_inactive", "token_expired")),
        SheetError("missing_scope", 200, _no("missing_scope", needed="chat:write", provided="users:read"),
                   ProviderFailure, code="missing_scope"),
        *_refused("channel_not_found", "not_in_channel", "is_archived", "msg_too_long", "no_text", "restricted_action",
                  "invalid_blocks", "msg_blocks_too_long"),
        *(SheetError(word, 200, _no(word), NotFound)
          for word in ("users_not_found", "user_not_found", "user_not_visible", "thread_not_found",
                       "message_not_found")),
        *(SheetError(word, 200, _no(word), ProviderFailure, retryable=True, code=word)
          for word in ("internal_error", "fatal_error", "request_timeout", "service_unavailable")),
        SheetError("HTTP 503", 503, _no("service_unavailable"), ProviderFailure, retryable=True),
        *_refused("enterprise_is_restricted", "team_added_to_org", "org_login_required"),
    ),
    limits=(
        Limit("tier 2", lambda _, call: call.http.get("/conversations.list"), pause=(1, 60), most=21),
        Limit("tier 3", lambda _, call: call.http.get("/conversations.info", {"channel": GENERAL}), pause=(1, 60),
              most=51),
        Limit("tier 4", lambda _, call: call.http.get("/auth.test"), pause=(1, 60), most=101),
        Limit("a message a second", _post, pause=(1, 1), most=2),
        Limit("history of restricted apps", lambda _, call: call.http.get("/conversations.history",
              {"channel": GENERAL}), pause=(1, 60), most=2),
        Limit("history of internal apps", lambda _, call: call.http.get("/conversations.history",
              {"channel": GENERAL}), {"commercial": False}, (1, 60), most=51),
    ),
)  # fmt: skip
