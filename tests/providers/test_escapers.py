"""Text from outside in a query of each language: 5,000 generated strings each, and none changes what is asked.

What was asked is read by the double's own lexer and interpreter, which share no code with the escapers; for Slack by a
reader of its control sequences that stands here. Broken escapers show that each judgement can fail.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox import jira, salesforce, shopify, stripe
from supportly.providers import get
from supportly.providers.jira.api import quoted as jql_text
from supportly.providers.salesforce.soql import quoted as soql_text
from supportly.providers.shopify.graphql import quoted as shopify_text
from supportly.providers.slack.api import SECTION, escaped, sections
from supportly.providers.stripe.customers import quoted as stripe_text
from tests.providers.harness import World

COUNT = 5_000
ENOUGH = 50  # texts that an escaper has to spoil before it counts as noticed
PIECES = (
    "ada@example.com", "O'Brien", 'the "best"', "Zoë", "李雷", "a b", "", " ", "x",
    "'", '"', "\\", "\\'", '\\"', "\\\\", "`", "’", "＂", "＇", "''", '""',
    "%", "_", "*", "?", "~", ":", "=", "!=", ">", "<", ">=", "(", ")", "[", "]", "{", "}", ",", ";", "|", "&", "#", "-",
    "+", "/", "^", "$", "@", "!",
    " AND ", " OR ", " NOT ", " IN ", " LIKE ", " ORDER BY ", " LIMIT 1", " null", " EMPTY", "true", "IS NOT",
    "--", "/*", "*/", "//", "<!--",
    "\n", "\r", "\t", "\b", "\f", "\x00", "\x1b", "\x7f", "\u2028", "\u00a0", "\u200b", "\u202e", "e\u0301", "😀",
    "&amp;", "&lt;", "&#60;", "<!channel>", "<@U1>", "<https://evil.example|click>", "<#C1|x>",
    "\\u0022", "\\x27", "\\n", "%27", "${x}",
)  # fmt: skip
ATTACKS = (
    "' OR Id != null --", "x' OR Name LIKE '%", "\\' OR Id != null", "') OR (Id != null", "' LIMIT 1 ALL ROWS",
    '" OR project = HR', '\\" OR project = HR ORDER BY created', '") OR (project in ("HR")', '" ORDER BY key',
    '" OR email:*', 'x" -email:"y', '" OR metadata["a"]:"b', "\\", '"\\', "'\\", "\\\\\\", '\\\\"', "\\\\'",
    "<!channel> hello", "a < b && c > d", "&lt;!here&gt;", "<!subteam^S1|x>", "x" * 4000, "'" * 500, '\\"' * 500,
)  # fmt: skip


def texts(language: str) -> Iterator[str]:
    """Attacks, and mixtures of pieces; the same ones in every run, others for every language."""
    source = random.Random(f"escapers {language}")
    yield from ATTACKS
    for _ in range(COUNT - len(ATTACKS)):
        yield "".join(source.choices(PIECES, k=source.randint(1, 8)))


def decoys(text: str) -> list[str]:
    """What must not be found in the place of `text`: neighbours that a broken escaper would let in."""
    return [d for d in ("harmless", text + "x", "x" + text, text[:-1], text.replace("\\", "")) if d != text]


# --- SOQL -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def org():
    return World(get("salesforce")).double


def soql_shape(org: Any, statement: str) -> list[tuple[str, str]]:
    """The statement's tokens with its literals left out; each literal is one token."""
    return [(k, "…" if k == "text" else v) for k, v in salesforce.Parser(org, statement, deleted=False).tokens]


def kept_by_soql(text: str) -> str:
    """Control characters that SOQL has no escape for become spaces: no field holds them."""
    return "".join(c if c >= " " or c in "\n\r\t\b\f" else " " for c in text)


def judge_soql(org: Any, text: str, escape: Callable[..., str] = soql_text) -> None:
    def statement(value: str) -> str:
        return f"SELECT Id FROM Contact WHERE LastName = {escape(value)} AND Email != 'x' ORDER BY Id LIMIT 5"

    parser = salesforce.Parser(org, statement(text), deleted=False)
    literals = [value for kind, value in parser.tokens if kind == "text"]
    assert soql_shape(org, statement(text)) == soql_shape(org, statement("harmless"))
    wanted = kept_by_soql(text)
    assert [salesforce.plain(value) for value in literals] == [wanted, "x"]
    assert parser.statement().where is not None
    found = salesforce.pattern(escape(text, like=True))
    assert found.fullmatch(f"before {wanted} after")
    for wild in ("%", "_"):
        if wild in wanted:
            assert not found.fullmatch(f"before {wanted.replace(wild, 'zz')} after")


# --- JQL --------------------------------------------------------------------------------------------------------------


def kept_by_jql(text: str) -> str:
    """JQL knows escapes for few control characters; what cannot be shown becomes a space."""
    return "".join(c if c.isprintable() or c == " " else " " for c in text)


def judge_jql(_: Any, text: str, escape: Callable[[str], str] = jql_text) -> None:
    query = jira.jql(f"project = {escape('SUP')} AND labels in ({escape(text)}, {escape('b')}) ORDER BY updated ASC")
    wanted = kept_by_jql(text)
    project = jira.Clause("project", "=", ("SUP",))
    labels = jira.Clause("labels", "in", (wanted, "b"))
    assert query == jira.Query(("and", [project, labels]), (("updated", False),))


# --- Shopify ----------------------------------------------------------------------------------------------------------


def lexed(pattern: re.Pattern[str], source: str) -> list[tuple[str, str]]:
    """All tokens of a text, by the double's lexer."""
    found, place = [], 0
    while source[place:].strip():
        match = pattern.match(source, place)
        assert match, f"nothing can be read at {place}"
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    return found


def shape(tokens: list[tuple[str, str]], *literals: str) -> list[tuple[str, str]]:
    return [(kind, "…" if kind in literals else value) for kind, value in tokens]


def judge_shopify(_: Any, text: str, escape: Callable[[object], str] = shopify_text) -> None:
    def source(value: str) -> str:
        return f"email:{escape(value)} customer_id:7"

    tokens = lexed(shopify.TOKEN, source(text))
    assert shape(tokens, "text") == shape(lexed(shopify.TOKEN, source("harmless")), "text")
    assert [shopify.plain(k, v) for k, v in tokens if k == "text"] == [text]
    holds = shopify.search(source(text))
    assert holds({"email": text, "customer_id": "7"})
    for other in decoys(text):
        assert holds({"email": other, "customer_id": "7"}) == (other.casefold() == text.casefold())
    assert not holds({"email": text, "customer_id": "8"})


# --- Stripe -----------------------------------------------------------------------------------------------------------


def judge_stripe(_: Any, text: str, escape: Callable[[str], str] = stripe_text) -> None:
    def source(value: str) -> str:
        return f'email:{escape(value)} AND metadata["plan"]:{escape("gold")}'

    tokens = lexed(stripe.TOKENS, source(text))
    assert shape(tokens, "double") == shape(lexed(stripe.TOKENS, source("harmless")), "double")
    holds = stripe.query(source(text))
    assert holds({"email": text, "metadata": {"plan": "gold"}})
    for other in decoys(text):
        assert holds({"email": other, "metadata": {"plan": "gold"}}) == (other.casefold() == text.casefold())
    assert not holds({"email": text, "metadata": {}})


# --- Slack ------------------------------------------------------------------------------------------------------------

ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}


def read_by_slack(text: str) -> str:
    """What Slack shows of `text`: it knows three entities, and everything in angle brackets is a command."""
    assert not re.search("[<>]", text), "a control sequence"
    assert not re.search(r"&(?!(amp|lt|gt);)", text), "a bare ampersand"
    return re.sub(r"&(amp|lt|gt);", lambda found: ENTITIES[found[1]], text)


def judge_slack(_: Any, text: str, escape: Callable[[str], str] = escaped) -> None:
    assert read_by_slack(escape(text)) == text
    blocks = [block["text"]["text"] for block in sections(text)]
    assert all(len(block) <= SECTION for block in blocks)
    assert "".join(map(read_by_slack, blocks)) == (text if text.strip() else "")


# --- all of them ------------------------------------------------------------------------------------------------------

JUDGES = {
    "SOQL": judge_soql,
    "JQL": judge_jql,
    "Shopify": judge_shopify,
    "Stripe": judge_stripe,
    "Slack": judge_slack,
}


@pytest.mark.parametrize("language", JUDGES)
def test_five_thousand_texts_stay_texts(org, language):
    tried = 0
    for text in texts(language):
        JUDGES[language](org, text)
        tried += 1
    assert tried == COUNT


def bare(quote: str) -> Callable[..., str]:
    """An escaper that only adds quotes."""
    return lambda text, like=False: f"{quote}%{text}%{quote}" if like else f"{quote}{text}{quote}"


def without_backslashes(quote: str) -> Callable[..., str]:
    """An escaper that forgets the escape character itself."""
    return lambda text, like=False: bare(quote)(text.replace(quote, f"\\{quote}"), like)


def doubling(quote: str) -> Callable[..., str]:
    """An escaper of another language, which doubles quotes."""
    return lambda text, like=False: bare(quote)(text.replace(quote, quote * 2), like)


BROKEN = [
    *((language, make(quote)) for language, quote in (("SOQL", "'"), ("JQL", '"'), ("Shopify", '"'), ("Stripe", '"'))
      for make in (bare, without_backslashes, doubling)),
    ("SOQL", lambda text, like=False: soql_text(text) if not like else f"'%{soql_text(text)[1:-1]}%'"),
    ("Slack", lambda text: text),
    ("Slack", lambda text: text.replace("<", "&lt;").replace(">", "&gt;")),
    ("Slack", lambda text: text.replace("<", "&lt;").replace("&", "&amp;").replace(">", "&gt;")),
]  # fmt: skip


@pytest.mark.parametrize(("language", "escape"), BROKEN, ids=[f"{n}-{e[0]}" for n, e in enumerate(BROKEN)])
def test_a_broken_escaper_is_noticed(org, language, escape):
    noticed = 0
    for text in texts(language):
        try:
            JUDGES[language](org, text, escape)
        except Exception:  # noqa: BLE001 (the double refuses in many ways; that it minds is what counts)
            noticed += 1
        if noticed > ENOUGH:
            return
    pytest.fail(f"only {noticed} texts were minded")
