"""Which CSS hides a text from people: how instructions to a machine are smuggled into a page."""

from __future__ import annotations

import re
from typing import Final

LONGEST_SHEET: Final = 50_000
"""Characters; a longer style sheet comes from a site's theme and says nothing about an article's own words."""

LONGEST_VALUE: Final = 1000
"""Characters of one declaration; what is written to hide text has ten, and expressions stay cheap."""

_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([0-9a-fA-F]{1,6})\s?")
_NAME: Final = re.compile(r"([.#])([\w-]+)")
_NUMBER: Final = re.compile(r"[-+]?([\d.]+)[a-z%]*")
_FAR: Final = re.compile(r"-(?:\d{3,}[\d.]*(?:px|pt)|\d{2,}[\d.]*(?:em|rem|ex|ch|vw|vh)|\d{3,}[\d.]*%)")
"""Farther out than any layout places a text that is to be read: 100 pixels, 10 ems, its own width."""
_PUSHED: Final = re.compile(r"-(?:\d{4,}(?:px|pt|%)|9{3}px|\d{3,}r?em)")
"""Margins and indents of layouts are negative too, but by less than a screen."""
_SCALED: Final = re.compile(r"scale[xy]?\(\s*([\d.]+)")
_MOVED: Final = re.compile(r"translate[xy]?\(\s*-(?:\d{4,}px|\d{3,}em|\d{4,}%)")
_CLIPPED: Final = re.compile(r"rect\(\s*(?:[01](?:px)?[\s,]*){4}\)|inset\(\s*(?:50|100)%|circle\(\s*0")
_MAYBE: Final = re.compile(
    r"display|visibility|opacity|font|position|indent|clip|transform|color|height|width|margin|\\|scale|translate",
    re.IGNORECASE,
)


def is_hidden_style(style: str) -> bool:
    """Whether declarations hide what they apply to: not shown, without size or colour, or off the screen."""
    if not _MAYBE.search(style):
        return False
    said = _declarations(style)
    return _not_shown(said) or _off_screen(said)


def hiding_selectors(sheet: str) -> tuple[frozenset[str], frozenset[str]]:
    """The classes and ids that a style sheet hides. Only plain ones: `.note`, not `.note:hover` or `@media print`."""
    if len(sheet) > LONGEST_SHEET:
        return frozenset(), frozenset()
    classes: set[str] = set()
    ids: set[str] = set()
    for rule in _outside_at_rules(_COMMENT.sub("", sheet)).split("}"):
        selectors, _, declarations = rule.partition("{")
        if is_hidden_style(declarations):
            for selector in selectors.split(","):
                name = _NAME.fullmatch(selector.strip())
                if name:
                    (classes if name[1] == "." else ids).add(name[2])
    return frozenset(classes), frozenset(ids)


def _outside_at_rules(sheet: str) -> str:
    """A sheet without `@media … { … }` and the like, which apply elsewhere or not always."""
    kept = []
    depth = 0
    at_rule = False
    start = 0
    for place, sign in enumerate(sheet):
        if sign == "@" and depth == 0 and not at_rule:
            kept.append(sheet[start:place])
            at_rule = True
        elif sign == "{":
            depth += 1
        elif sign == "}":
            depth = max(0, depth - 1)
        if at_rule and depth == 0 and sign in "};":
            at_rule, start = False, place + 1
    return "".join(kept) + ("" if at_rule else sheet[start:])


def _declarations(style: str) -> dict[str, str]:
    """Property to value, in lower case; what is said last counts, unless something important was said."""
    style = _COMMENT.sub(" ", style)
    if "\\" in style:
        style = _ESCAPE.sub(lambda found: chr(min(int(found[1], 16), 0xFFFF)), style)
    said: dict[str, str] = {}
    important: set[str] = set()
    for declaration in style.lower().split(";"):
        name, colon, value = declaration.partition(":")
        name = name.strip()
        value, mark, _ = value.partition("!")
        if colon and (mark or name not in important):
            said[name] = " ".join(value.split())[:LONGEST_VALUE]
            if mark:
                important.add(name)
    return said


def _nothing(value: str | None) -> bool:
    """Whether a value is a zero of whatever unit."""
    number = _NUMBER.fullmatch(value or "")
    return number is not None and not number[1].strip("0.") and "0" in number[1]


def _not_shown(said: dict[str, str]) -> bool:
    # The size is the last number before the line height, after a weight perhaps.
    font = [part for part in said.get("font", "").split("/")[0].split() if _NUMBER.fullmatch(part)]
    return (
        said.get("display") == "none"
        or said.get("visibility") in {"hidden", "collapse"}
        or said.get("content-visibility") == "hidden"
        or _nothing(said.get("opacity"))
        or _nothing(said.get("font-size"))
        or (bool(font) and _nothing(font[-1]))
        or said.get("color") in {"transparent", "rgba(0,0,0,0)", "rgba(0, 0, 0, 0)"}
        or _nothing(said.get("scale"))
    )


def _off_screen(said: dict[str, str]) -> bool:
    placed = said.get("position") in {"absolute", "fixed"}
    moved = (said.get(side, "") for side in ("left", "top", "right", "bottom", "inset"))
    pushed = (said.get(name, "") for name in ("margin-left", "margin-top", "text-indent"))
    cut = said.get("overflow", said.get("overflow-y", "")) in {"hidden", "clip"}
    tiny = ("height", "width", "max-height", "max-width")
    return (
        (placed and any(_FAR.match(value) for value in moved))
        or any(_PUSHED.match(value) for value in pushed)
        or (cut and any(_nothing(said.get(name)) or (placed and said.get(name) == "1px") for name in tiny))
        or bool(_CLIPPED.search(said.get("clip", "") if placed else ""))
        or bool(_CLIPPED.search(said.get("clip-path", "")))
        or any(_nothing(factor) for factor in _SCALED.findall(said.get("transform", "")))
        or bool(_MOVED.search(said.get("transform", "")))
    )
