"""A document's text as people see it: Markdown without HTML, scripts, hidden parts and invisible characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final

from bs4 import BeautifulSoup, Comment, Tag
from markdownify import MarkdownConverter

_DROPPED: Final = frozenset(
    {"script", "style", "noscript", "template", "iframe", "object", "embed", "svg", "canvas", "head", "title", "meta"}
    | {"link", "button", "input", "select", "textarea"}
)
"""Elements whose content nobody reads."""
_HIDDEN_STYLE: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0+)?\s*(?:;|$)|font-size\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
# Zero-width, direction and tag characters: invisible, and a way to smuggle text past a reader. Joiners stay between
# letters of the scripts that need them (Arabic to Khmer).
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\ufdd0-\ufdef"
    "\U000e0000-\U000e007f]|(?<![\u0600-\u1fff])[\u200c\u200d]"
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


class _Converter(MarkdownConverter):
    """Links and images keep their words only: addresses are noise to a search, and the hit has its own URL."""

    def convert_a(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return text

    def convert_img(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(el.get("alt") or "")


_CONVERTER: Final = _Converter(heading_style="ATX", bullets="-", escape_asterisks=False, escape_underscores=False)


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
    """A document's body as clean Markdown; HTML where `metadata` says `format: html`, Markdown or plain text else."""
    text = _from_html(body) if metadata.get("format") == "html" else body
    text = visible(text)
    if "\n\n\n" in text or " \n" in text or "\t\n" in text:
        text = _BLANK_LINES.sub("\n\n", _TRAILING.sub("\n", text))
    return text.strip()


def _from_html(html: str) -> str:
    soup = BeautifulSoup(html, "lxml")
    for comment in soup.find_all(string=lambda piece: isinstance(piece, Comment)):
        comment.extract()
    for element in soup.find_all(_is_hidden):
        # A hidden element inside one that is gone already has no attributes left to ask for.
        element.decompose()
    try:
        return str(_CONVERTER.convert_soup(soup))
    except RecursionError:
        # Thousands of nested elements: the words are worth having without their structure.
        return soup.get_text("\n")


def _is_hidden(element: Tag) -> bool:
    if element.name in _DROPPED:
        return True
    attributes = element.attrs or {}
    style = attributes.get("style")
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or (isinstance(style, str) and _HIDDEN_STYLE.search(style) is not None)
    )


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
