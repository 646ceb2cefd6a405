"""Salesforce Knowledge: what an article's fields are in this org, who may read it, and which ones have left.

Read by queries and not through the Support API, whose detail call counts as a reader's view unless told otherwise. A
published article gets a new version and with it a new id each time, so a document's key is the article's own id and its
language.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from supportly.contracts.knowledge import Document, RecordFailure, StreamPage
from supportly.errors import NotFound, ProviderFailure
from supportly.provider import Call, timestamp
from supportly.providers.salesforce.shapes import SalesforceSettings, fields_of, is_id, options
from supportly.providers.salesforce.soql import ABSENT, Row, everything, parted, query, quoted, select

KNOWN: Final = ("Id", "KnowledgeArticleId", "Title", "UrlName", "Language", "LastPublishedDate", "SystemModstamp")
PUBLIC: Final = "IsVisibleInPkb"
CUSTOMERS: Final = "IsVisibleInCsp"
"""Public knowledge base, and signed-in customers. Unconfirmed for every org: `describe` tells."""
TEXT: Final = "textarea"
NO_KNOWLEDGE: Final = (
    "This Salesforce org has no Knowledge, or the connected user may not read it: the permission View Articles and the "
    "licence Knowledge User are needed. A renamed object is named in the setting `knowledge_object`."
)


class Layout(BaseModel):
    """What a walk reads of an article; `html` and `plain` are the fields that hold its text."""

    model_config = ConfigDict(frozen=True)
    fields: tuple[str, ...]
    html: tuple[str, ...]
    plain: tuple[str, ...]
    languages: tuple[str, ...]


class Articles:
    """Reads one org's articles."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.settings: SalesforceSettings = call.settings

    async def layout(self) -> Layout:
        """From the org's description. Raises NotFound with the reason where nothing can be read.

        Without a setting the text is what stands in rich text fields of the org's own, else in its long text fields.
        """
        known = await fields_of(self.call, self.settings.knowledge_object)
        if known is None:
            raise NotFound(NO_KNOWLEDGE)
        if PUBLIC not in known and self.settings.article_audience != "all":
            raise NotFound(
                "This org's articles do not say who may read them. Set `article_audience` to `all` to sync them for "
                "internal use."
            )
        own = [n for n, f in known.items() if n.endswith("__c") and f.get("type") == TEXT]
        rich = [n for n in own if known[n].get("htmlFormatted")]
        chosen = self.settings.article_fields
        body = [n for n in chosen if n in known] if chosen is not None else rich or own
        values = list(dict.fromkeys(options(known.get("Language")).values()))
        wanted = self.settings.article_languages
        languages = values if wanted is None else [w for w in wanted if not values or w in values]
        if not languages:
            raise NotFound("This org's Knowledge has none of the languages of the setting `article_languages`.")
        shown = [n for n in ("Summary", PUBLIC, CUSTOMERS) if n in known]
        return Layout(
            fields=tuple(dict.fromkeys([*KNOWN, *shown, *body])),
            html=tuple(n for n in body if known[n].get("htmlFormatted")),
            plain=tuple(n for n in ("Summary", *body) if n in known and not known[n].get("htmlFormatted")),
            languages=tuple(languages),
        )

    @staticmethod
    def explained(error: ProviderFailure) -> ProviderFailure | NotFound:
        """The error of a query for articles; that the object is not there comes as NotFound with the reason."""
        return NotFound(NO_KNOWLEDGE, details=error.details) if error.provider_code == "INVALID_TYPE" else error

    def shown(self, row: Row) -> bool:
        """Whether an article is for the readers that the settings name."""
        audience = self.settings.article_audience
        return bool(audience == "all" or row.get(PUBLIC) or (audience == "customers" and row.get(CUSTOMERS)))

    def read(self, layout: Layout, row: Row, page: StreamPage) -> None:
        """Adds an article to a page: as a document, as left, or as a failure with its reason."""
        key = f"{row['KnowledgeArticleId']}:{row['Language']}"
        if not self.shown(row):
            page.deleted.append(key)
            return
        texts = [f"<p>{html.escape(str(row[n]), quote=False)}</p>" for n in layout.plain if row.get(n)]
        written = any(row.get(n) for n in (*layout.html, *layout.plain) if n != "Summary")
        texts += [str(row[n]) for n in layout.html if row.get(n)]
        if not row.get("Title") or not (written or (texts and not layout.html)):
            reason = "It has no text." if row.get("Title") else "It has no title."
            page.failures.append(RecordFailure(external_id=key, reason=reason))
            return
        site = self.settings.article_site
        page.documents.append(
            Document(
                stream="articles",
                external_id=key,
                title=str(row["Title"]),
                body="\n".join(texts),
                url=f"{site.rstrip('/')}/{row['UrlName']}" if site and row.get("UrlName") else None,
                locale=str(row["Language"]).replace("_", "-"),
                updated_at=timestamp(row.get("LastPublishedDate")),
                audience="public" if row.get(PUBLIC) else "internal",
                metadata={"format": "html"},
            )
        )

    async def left(self, language: str, archived: Sequence[Row]) -> list[str]:
        """Keys of the archived articles that are published no more: old versions of published ones are archived too."""
        ids = list(dict.fromkeys(str(row["KnowledgeArticleId"]) for row in archived))
        tests = ["PublishStatus = 'Online'", f"Language = {quoted(language)}", "KnowledgeArticleId IN ({})"]
        statement = select(["KnowledgeArticleId"], self.settings.knowledge_object, tests)
        online: set[str] = set()
        for part in parted(statement, ids):
            online |= {str(row["KnowledgeArticleId"]) for row in await everything(self.call, part)}
        return [f"{article}:{language}" for article in ids if article not in online]

    async def is_gone(self, key: str) -> bool | None:
        """True where the article is not published in its language, or not to its readers; None without Knowledge."""
        article, _, language = key.partition(":")
        if not is_id(article):
            return True
        names = ["Id"] if self.settings.article_audience == "all" else ["Id", PUBLIC, CUSTOMERS]
        tests = ["PublishStatus = 'Online'", f"Language = {quoted(language)}"]
        tests.append(f"KnowledgeArticleId = {quoted(article)}")
        statement = select(names, self.settings.knowledge_object, tests, limit=1)
        try:
            rows = (await query(self.call, statement)).rows
        except ProviderFailure as error:
            if error.provider_code not in ABSENT:
                raise
            return None
        return not rows or not self.shown(rows[0])
