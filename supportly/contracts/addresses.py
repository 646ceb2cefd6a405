"""Addresses that a provider names, before anybody is sent there."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

LONGEST_ADDRESS: Final = 2_000
"""Characters; browsers and proxies cut longer ones."""
_ODD: Final = re.compile(r"[\s\x00-\x20\x7f-\x9f\\<>\"\u200b-\u200f\u2028-\u202f\u2066-\u2069\ufeff]")
"""Characters that no address holds unescaped, and that hide where one leads."""


def web_address(url: object) -> str | None:
    """`url` when a link may lead there: http or https, a host, and no user in front of it. None for anything else."""
    if not isinstance(url, str) or len(url) > LONGEST_ADDRESS or _ODD.search(url):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and host and "@" not in parts.netloc else None


def _linked(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "url": web_address(item["url"])} if "url" in item else item


Linked = Annotated[dict[str, Any], AfterValidator(_linked)]
"""A record as an object: its `url` is a web address, or None."""
WebAddress = Annotated[str | None, BeforeValidator(web_address)]
"""A field for one: what is none is left out, whoever wrote it."""
