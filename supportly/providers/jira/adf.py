"""Atlassian Document Format: what version 3 of the API takes and gives as a body."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

Node = dict[str, Any]

DEEPEST: Final = 40
"""Levels that are read: people nest a list or a table a few times, a hostile document nests without end."""


def document(text: str, heading: str = "") -> Node:
    """`text` as a document, a paragraph for each line; empty text nodes, which Jira refuses, are left out."""
    blocks: list[Node] = []
    if heading:
        blocks.append({"type": "heading", "attrs": {"level": 3}, "content": [_text(heading)]})
    blocks += [{"type": "paragraph", "content": [_text(line)] if line else []} for line in text.splitlines()]
    return {"type": "doc", "version": 1, "content": blocks}


def _text(text: str) -> Node:
    return {"type": "text", "text": text}


def plain(node: object) -> str:
    """All the text of a document, without marks: to look for something in it."""
    if not isinstance(node, dict):
        return ""
    parts = [str(node.get("text") or "")]
    parts += [plain(child) for child in node.get("content") or []]
    return "".join(parts) + ("\n" if node.get("type") in ("paragraph", "heading", "codeBlock") else "")


def markdown(node: object) -> str:
    """A document as Markdown. Nodes that are not known give the text that is in them.

    Raises TypeError, ValueError or AttributeError for what is no document.
    """
    if node is None:
        return ""
    if not isinstance(node, dict) or node.get("type") != "doc":
        raise ValueError("the body is no document")
    return _blocks(node.get("content") or [], 0).strip()


def _blocks(nodes: Iterable[Any], depth: int) -> str:
    return "\n\n".join(part for part in (_block(node, depth) for node in nodes) if part.strip())


def _block(node: Node, depth: int) -> str:
    kind = str(node.get("type"))
    if depth > DEEPEST:
        return ""
    if kind in _INLINE:
        return _inline([node])
    if kind in _BLOCKS:
        return _BLOCKS[kind](node, depth + 1)
    return _blocks(node.get("content") or [], depth + 1)


def _heading(node: Node, _depth: int) -> str:
    level = int((node.get("attrs") or {}).get("level") or 1)
    return "#" * min(6, max(1, level)) + " " + _other(node)


def _code(node: Node, _depth: int) -> str:
    return f"```{(node.get('attrs') or {}).get('language') or ''}\n{plain(node).rstrip()}\n```"


def _quote(node: Node, depth: int) -> str:
    return "\n".join(f"> {line}" for line in _blocks(node.get("content") or [], depth).splitlines())


def _list(node: Node, depth: int) -> str:
    lines = []
    for number, item in enumerate(node.get("content") or [], 1):
        inner = item.get("content") or []
        text = _inline(inner) if item.get("type") in ("taskItem", "decisionItem") else _blocks(inner, depth)
        sign = f"{number}." if node.get("type") == "orderedList" else "-"
        lines.append(f"{sign} " + text.replace("\n\n", "\n").replace("\n", "\n  "))
    return "\n".join(lines)


def _table(node: Node, depth: int) -> str:
    lines = []
    for number, row in enumerate(node.get("content") or []):
        cells = [_blocks(cell.get("content") or [], depth).replace("\n", " ") for cell in row.get("content") or []]
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            lines.append("|" + " --- |" * len(cells))
    return "\n".join(lines)


def _inline(nodes: Iterable[Any]) -> str:
    return "".join(_INLINE.get(str(node.get("type")), _other)(node) for node in nodes)


def _other(node: Node) -> str:
    return _inline(node.get("content") or [])


def _marked(node: Node) -> str:
    text = str(node["text"])
    for mark in node.get("marks") or []:
        kind, attrs = mark.get("type"), mark.get("attrs") or {}
        if kind == "link" and attrs.get("href"):
            text = f"[{text}]({attrs['href']})"
        elif kind in _MARKS:
            text = f"{_MARKS[kind]}{text}{_MARKS[kind]}"
    return text


_MARKS: Final = {"strong": "**", "em": "_", "code": "`", "strike": "~~"}
_INLINE: Final[dict[str, Callable[[Node], str]]] = {
    "text": _marked,
    "hardBreak": lambda _: "\n",
    "mention": lambda node: str((node.get("attrs") or {}).get("text") or "@member"),
    "inlineCard": lambda node: str((node.get("attrs") or {}).get("url") or ""),
    "emoji": lambda node: str((node.get("attrs") or {}).get("shortName") or ""),
    "status": lambda node: str((node.get("attrs") or {}).get("text") or ""),
}
_BLOCKS: Final[dict[str, Callable[[Node, int], str]]] = {
    "paragraph": lambda node, _: _other(node),
    "heading": _heading,
    "codeBlock": _code,
    "blockquote": _quote,
    "table": _table,
    "rule": lambda _node, _depth: "---",
    **dict.fromkeys(("bulletList", "orderedList", "taskList", "decisionList"), _list),
    **dict.fromkeys(("blockCard", "embedCard"), lambda node, _: str((node.get("attrs") or {}).get("url") or "")),
}
