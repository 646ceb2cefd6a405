"""A document's text as people see it: Markdown without HTML, scripts, hidden parts and invisible characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from supportly.knowledge import html, markup

VERSION: Final = "2"
"""Raising it has every document cleaned again at the next sync; chunks that stay the same keep their vectors."""
LONGEST_BODY: Final = 2_000_000
"""Characters; a longer document is a file by mistake."""
_MAGIC: Final = ("%PDF-", "PK\x03\x04", "\x89PNG", "\ufffdPNG", "GIF87a", "GIF89a", "\x7fELF", "{\\rtf1")
"""How files begin that are sometimes put where a text belongs."""
_NO_TEXT: Final = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]+")
_BINARY: Final = 0.1
"""Share of characters that no text has: random bytes have 11 % as Latin-1 and half as UTF-8, texts that were damaged
in transport far below 1 %."""
_SHORTEST_BINARY: Final = 64
# Zero-width, direction, tag and variation characters: invisible, and a way to smuggle text past a reader. Joiners stay
# between letters of the scripts that need them (Arabic to Khmer).
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|(?<![\u0600-\u1fff])[\u200c\u200d]"
)
_SPACES: Final = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\x85\u2028\u2029]")
_BLANK_LINES: Final = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
_TRAILING: Final = re.compile(r"[ \t]+\n")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")

LANGUAGES: Final[Mapping[str, str]] = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "da": "danish", "nl": "dutch", "en": "english",
    "et": "estonian", "fi": "finnish", "fr": "french", "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian",
    "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali", "no": "norwegian",
    "nb": "norwegian", "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""PostgreSQL's text search configurations by language; every other language is `simple`."""
_FUNCTION_WORDS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(words.split())
    for name, words in {
        "english": "the of and to is you that it for on are with as your this be or can not what how",
        "german": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch",
        "french": "le les des et est vous pour une dans que qui sur avec votre pas au du ce sont ne",
        "spanish": "el los las y es para una por que con su del se al como más pero sus lo cuando",
        "portuguese": "os as e é para uma por que com seu da do na no em como mais mas ao você",
        "italian": "il gli e è per una di che con del della nel non si come sono i più questo alla",
        "dutch": "de het een en van is dat op te voor met zijn niet aan er om je wordt bij ook",
    }.items()
}
"""The commonest words of a language, which hardly another shares; enough to tell these from one another."""
_SAMPLE: Final = 4000


class Unreadable(ValueError):
    """A document that cannot be stored; the text is a sentence for the status."""


def visible(text: str) -> str:
    """`text` without invisible and control characters, in NFC, with a line feed for every kind of line end."""
    if text.isascii():
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return _CONTROL.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _SPACES.sub(" ", _INVISIBLE.sub("", text)))


def one_line(text: str) -> str:
    """A title: visible, on one line, without markup of its own."""
    return " ".join(visible(text).split())


def markdown(body: str, metadata: Mapping[str, Any]) -> str:
    """A document's body as clean Markdown; HTML where `metadata` says `format: html`, Markdown or plain text else.

    Raises Unreadable for a body that is too long, no text at all, or HTML that takes too long to read.
    """
    if len(body) > LONGEST_BODY:
        raise Unreadable(f"The document is longer than {LONGEST_BODY} characters.")
    _check_text(body)
    try:
        is_html = metadata.get("format") == "html"
        text = markup.inert(html.to_markdown(body)) if is_html else markup.plain(body)
    except html.TooManyTags:
        raise Unreadable(f"The document has more than {html.MOST_TAGS} HTML tags.") from None
    text = visible(text)
    if "\n\n\n" in text or " \n" in text or "\t\n" in text:
        text = _BLANK_LINES.sub("\n\n", _TRAILING.sub("\n", text))
    # Not the indentation of the first line, which belongs to code.
    return text.rstrip().lstrip("\n")


def _check_text(body: str) -> None:
    """Raise Unreadable for an image, an archive or another encoding that was taken for text."""
    if body.startswith(_MAGIC) or (
        _NO_TEXT.search(body)
        and len(body) >= _SHORTEST_BINARY
        and sum(map(len, _NO_TEXT.findall(body))) > len(body) * _BINARY
    ):
        raise Unreadable("The document is not text but binary data.")


def normal_locale(locale: str | None) -> str | None:
    """`en_US` and `EN-us` as `en-us`; None when there is none."""
    return locale.strip().replace("_", "-").lower() or None if locale else None


def language(locale: str | None, text: Callable[[], str]) -> str:
    """PostgreSQL's configuration for a document: by its locale, else by the function words of `text()`.

    Without any, plain ASCII counts as English, whose stemmer does little harm to names; anything else is `simple`.
    """
    if found := normal_locale(locale):
        return LANGUAGES.get(found.split("-")[0], "simple")
    sample = text()[:_SAMPLE]
    words = set(sample.lower().split())
    counted = {name: len(known & words) for name, known in _FUNCTION_WORDS.items()}
    best = max(counted, key=lambda name: counted[name])
    if counted[best]:
        return best
    return "english" if sample.isascii() else "simple"
