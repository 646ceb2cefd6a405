"""The names that HTML knows, and what they mean inside Markdown."""

from __future__ import annotations

from typing import Final

SILENT: Final = frozenset(
    {"script", "style", "template", "noscript", "iframe", "object", "applet", "svg", "canvas", "noembed", "noframes"}
    | {"head", "audio", "video"}
)
"""Elements whose content nobody reads. `title`, `button` and the like are words here: a text may name them."""
RAW: Final = frozenset(
    {"script", "style", "textarea", "title", "noscript", "iframe", "noembed", "noframes"},
)
"""Elements whose content is no HTML: it ends at their own closing tag."""
BLOCKS: Final = frozenset(
    {"address", "article", "aside", "blockquote", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt"}
    | {"fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li"}
    | {"main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"}
)
"""Elements that begin and end lines."""
_INLINE: Final = frozenset(
    {"a", "abbr", "acronym", "b", "bdi", "bdo", "big", "button", "caption", "cite", "code", "colgroup", "data"}
    | {"datalist", "del", "dfn", "em", "font", "frameset", "i", "ins", "kbd", "label", "legend", "map", "mark", "math"}
    | {"meter", "optgroup", "option", "output", "picture", "progress", "q", "rp", "rt", "ruby", "s", "samp", "select"}
    | {"slot", "small", "span", "strike", "strong", "sub", "sup", "td", "textarea", "th", "time", "title", "tt", "u"}
    | {"var", "html", "body"}
)
_VOID: Final = frozenset(
    {"area", "base", "basefont", "br", "col", "embed", "frame", "hr", "img", "input", "link", "meta", "param", "source"}
    | {"track", "wbr"}
)
ELEMENTS: Final = SILENT | BLOCKS | _INLINE | _VOID
