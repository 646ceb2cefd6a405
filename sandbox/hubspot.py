"""HubSpot. Quirks: dated versions in paths, refresh tokens that stay, a search index that lags."""

import fnmatch
import random
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import phonenumbers

from sandbox.double import (
    Abort,
    Double,
    Grant,
    OAuth,
    OAuthFailure,
    Record,
    Reply,
    Request,
    Routes,
    Token,
    TokenFailure,
    epoch,
    iso,
)
from sandbox.text import articles, people

V = "2026-09"
OBJECTS, ASSOCIATIONS = f"/crm/objects/{V}", f"/crm/associations/{V}"
BLOG, KNOWLEDGE = f"/cms/blogs/{V}/posts", "/cms/knowledge-base/2027-03-beta/articles"
SEARCH_DEPTH = 10_000
LONGEST_URL = 15_000  # characters; longer ones are reported to break (airbytehq/airbyte PR 74046)
ARTICLES_PAGE = 25  # the documented default; a larger maximum is unconfirmed, so none is granted
TOKEN_LENGTH = 320  # "allow 300 and more"
CRM = {
    "contacts": "contact", "companies": "company", "deals": "deal", "tickets": "ticket", "products": "product",
    "notes": "note", "calls": "call", "tasks": "task",
}  # fmt: skip
ACTIVITIES = ("note", "call", "task")
CHOICES = {
    "hs_call_direction": ("INBOUND", "OUTBOUND"), "hs_task_priority": ("LOW", "MEDIUM", "HIGH"),
    "hs_task_type": ("TODO", "CALL", "EMAIL"),
}  # fmt: skip
MODIFIED = {"contact": "lastmodifieddate"}  # the other kinds have hs_lastmodifieddate
SHOWN = {
    "contact": ["createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"],
    "company": ["createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"],
    "deal": [
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    ],
    "ticket": ["content", "createdate", "hs_lastmodifieddate", "hs_object_id", "hs_pipeline_stage", "subject"],
    "product": ["createdate", "description", "hs_lastmodifieddate", "hs_object_id", "name", "price"],
}
ACTIVITY_SHOWN = ["hs_createdate", "hs_lastmodifieddate", "hs_object_id"]
# association type id -> (from, to); a pair's first entry is the default link
LINKS = {
    202: ("note", "contact"), 194: ("call", "contact"), 204: ("task", "contact"), 3: ("deal", "contact"),
    341: ("deal", "company"), 5: ("deal", "company"), 279: ("contact", "company"), 1: ("contact", "company"),
    16: ("ticket", "contact"), 201: ("contact", "note"), 193: ("contact", "call"), 203: ("contact", "task"),
    4: ("contact", "deal"), 342: ("company", "deal"), 280: ("company", "contact"), 15: ("contact", "ticket"),
    214: ("note", "deal"), 190: ("note", "company"), 206: ("call", "deal"), 216: ("task", "deal"),
}  # fmt: skip
CONTACT_TEXT = [
    "firstname",
    "lastname",
    "email",
    "phone",
    "mobilephone",
    "company",
    "jobtitle",
    "city",
    "country",
    "state",
    "zip",
    "address",
    "website",
]
CONTACT_OWN = [
    "createdate",
    "lastmodifieddate",
    "hs_object_id",
    "hs_additional_emails",
    "hubspot_owner_id",
    "lifecyclestage",
    "hs_lead_status",
    "hs_searchable_calculated_phone_number",
    "hs_searchable_calculated_mobile_number",
]
# What every answer about a post holds besides what it is about (contract of the posts, 2026-09).
POST_TEXTS = (
    "abTestId", "blogAuthorId", "campaign", "createdById", "domain", "dynamicPageDataSourceId",
    "dynamicPageHubDbTableId", "featuredImage", "featuredImageAltText", "folderId", "footerHtml", "headHtml",
    "linkRelCanonicalUrl", "mabExperimentId", "pageExpiryRedirectUrl", "password", "rssBody", "rssSummary",
    "translatedFromId", "updatedById",
)  # fmt: skip
POST_SWITCHES = (
    "archivedInDashboard", "enableDomainStylesheets", "enableGoogleAmpOutputOverride", "enableLayoutStylesheets",
    "includeDefaultCustomCss", "pageExpiryEnabled", "publicAccessRulesEnabled", "publishImmediately",
    "useFeaturedImage",
)  # fmt: skip
POST_NUMBERS = ("archivedAt", "dynamicPageDataSourceType", "pageExpiryDate", "pageExpiryRedirectId")
POST_MAPS = ("layoutSections", "themeSettingsValues", "translations", "widgetContainers", "widgets")
POST_LISTS = ("attachedStylesheets", "publicAccessRules", "tagIds")
STAGES = [
    ("appointmentscheduled", "Appointment Scheduled", "0.2"), ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("contractsent", "Contract Sent", "0.9"), ("closedwon", "Closed Won", "1.0"), ("closedlost", "Closed Lost", "0.0"),
]  # fmt: skip


class HubSpot(Double):
    """One HubSpot account; the connected one is told by the setting `hub_id`."""

    name, title = "hubspot", "HubSpot"
    hosts = (r"api\.hubapi\.com", r"app\.hubspot\.com")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth(
        "/oauth/authorize", f"/oauth/{V}/token", authorize_host="app.hubspot.com", bodies=frozenset({"form"}),
        unassignable_scopes=frozenset({"crm.objects.calls.write"}),
    )  # fmt: skip
    kinds: ClassVar[dict[str, str]] = CRM | {
        "blog_posts": "blog_post", "articles": "article", "owners": "owner", "pipelines": "pipeline",
        "properties": "property",
    }  # fmt: skip
    defaults: ClassVar[Record] = {
        "hub_id": 8800001, "user_id": 77001, "hub_domain": "sandbox-hub.example", "account_type": "STANDARD",
        "introspect_fields": False, "token_errors": "both", "knowledge_base": 200, "required_properties": [],
        "requests_per_ten_seconds": 110, "searches_per_second": 5, "ui_domain": "app.hubspot.com",
        # Private distribution alone has a quota by day; None: as for a marketplace app.
        "requests_per_day": None, "day_seconds": 86_400,
        # Not documented, so both answers are here: does a read by e-mail see secondary addresses, is case kept?
        "email_reads_secondary": True, "lowercase_emails": False,
        # A property without a value: the contract knows texts only, so it is `absent`; or it is `null`.
        "unset_properties": "absent",
        # A post's times: `created` and `updated` of the contract, or `createdAt` and `updatedAt` of the guides.
        "post_times": "updated",
    }  # fmt: skip

    def structure(self) -> None:
        self.links: dict[tuple[str, str], dict[tuple[str, str], set[int]]] = {}
        for name in (*CONTACT_TEXT, *CONTACT_OWN):
            self.save("property", self.complete("property", {"name": name, "hubspotDefined": True}))
        dates = {"createdAt": self.stamp(), "updatedAt": self.stamp()}
        stages = [
            {
                "id": key, "label": label, "displayOrder": place, "archived": False, **dates,
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
                "metadata": {"probability": probability, "isClosed": str(key.startswith("closed")).lower()},
            }
            for place, (key, label, probability) in enumerate(STAGES)
        ]  # fmt: skip
        self.save(
            "pipeline",
            {
                "id": "default",
                "label": "Sales Pipeline",
                "displayOrder": 0,
                "stages": stages,
                "archived": False,
                **dates,
            },
        )
        for number, first in ((501, "Olga"), (502, "Oscar")):
            self.save("owner", {
                "id": str(number), "email": f"{first.lower()}@sandbox-hub.example", "firstName": first,
                "lastName": "Owner", "type": "PERSON", "userId": number, "archived": False, **dates,
            })  # fmt: skip

    # Hooks

    def stamp(self) -> str:
        return iso(self.clock.now())

    def identity(self) -> Record:
        return {name: self.settings[name] for name in ("hub_id", "user_id", "hub_domain")}

    def issue_access(self, grant: Grant, expires: float) -> Token:
        token = super().issue_access(grant, expires)
        del self.access_tokens[token.value]
        token.value += "x" * (TOKEN_LENGTH - len(token.value))
        self.access_tokens[token.value] = token
        return token

    def throttle(self, request: Request) -> None:
        if len(request.raw_path) + len(request.query_string) > LONGEST_URL:
            raise Abort(Reply("<html><h1>414 Request-URI Too Large</h1></html>", 414, content_type="text/html"))
        if request.grant is None:
            return
        account = request.grant.identity["hub_id"]
        enforced = self.settings["rate_limits"]
        if request.raw_path.endswith("/search") and request.method == "POST":
            limit = self.settings["searches_per_second"]
            if enforced and self.limiter.hit(f"search {account}", limit, 1)[0] < 0:
                raise Abort(self.limited("SECONDLY"))
            return  # search answers carry no rate headers
        limit = self.settings["requests_per_ten_seconds"]
        left = self.limiter.hit(f"account {account}", limit, 10)[0] if enforced else limit
        request.response_headers = {
            "x-hubspot-ratelimit-max": str(limit), "x-hubspot-ratelimit-remaining": str(max(left, 0)),
            "x-hubspot-ratelimit-interval-milliseconds": "10000",
        }  # fmt: skip
        if left < 0:
            raise Abort(self.limited("TEN_SECONDLY_ROLLING"))
        if day := self.settings["requests_per_day"]:
            left = self.limiter.hit(f"day {account}", day, self.settings["day_seconds"])[0] if enforced else day
            daily = {"x-hubspot-ratelimit-daily": str(day), "x-hubspot-ratelimit-daily-remaining": str(max(left, 0))}
            request.response_headers |= daily
            if left < 0:
                raise Abort(self.limited("DAILY"))

    def limited(self, policy: str) -> Reply:
        text = f"You have reached your {policy.lower()} limit."
        return self.error(429, "RATE_LIMITS", text, errorType="RATE_LIMIT", policyName=policy)

    def error(self, code: int, category: str, message: str, **more: Any) -> Reply:
        body = {"status": "error", "message": message, "correlationId": str(uuid.uuid4()), "category": category}
        return Reply({**body, **more}, code)

    def not_found(self, request: Request) -> Reply:
        return self.error(404, "OBJECT_NOT_FOUND", "Unable to find the requested resource")

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        if failure == "expired":
            return self.error(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired.")
        return self.error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or invalid.")

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        status, message = {
            "client": ("BAD_CLIENT_SECRET", "missing or invalid client secret"),
            "client_mismatch": ("BAD_CLIENT_ID", "missing or unknown client id"),
            "code": ("BAD_AUTH_CODE", "missing or unknown auth code"),
            "redirect": ("BAD_REDIRECT_URI", "redirect_uri does not match the initial auth call"),
            "pkce": ("BAD_AUTH_CODE", "code_verifier does not match the challenge"),
            "refresh": ("BAD_REFRESH_TOKEN", "missing or invalid refresh token"),
            "body": ("BAD_REQUEST", "the body must be form encoded"),
            "grant_type": ("BAD_GRANT_TYPE", "missing or unknown grant type"),
        }[failure]
        # Not documented for the dated endpoint: v1's words, the standard error, or both in one body.
        if self.settings["token_errors"] == "v1":
            return Reply({"status": status, "message": message, "correlationId": str(uuid.uuid4())}, 400)
        if self.settings["token_errors"] == "both":
            return self.error(400, "VALIDATION_ERROR", message, status=status)
        if self.settings["token_errors"] == "standard":
            return self.error(400, "VALIDATION_ERROR", message)
        kind = "invalid_client" if failure in ("client", "client_mismatch") else "invalid_grant"
        return self.error(400, "VALIDATION_ERROR", message, error=kind, error_description=message)

    def token_reply(self, wanted: Record, access: Token, refresh: Token) -> Reply:
        who = access.grant.identity
        return Reply({
            "access_token": access.value, "refresh_token": refresh.value, "token_type": "bearer",
            "expires_in": round(access.expires_at - self.clock.now()), "hub_id": who["hub_id"],
            "user_id": who["user_id"], "scopes": list(access.grant.scope), "token_use": "access_token",
        })  # fmt: skip

    def need(self, request: Request, *scopes: str) -> None:
        """Aborts with 403 unless the grant holds one of the scopes."""
        held = request.grant.scope if request.grant else ()
        if self.settings["enforce_scopes"] and not set(scopes) & set(held):
            text = "This app hasn't been granted all required scopes to make this call."
            errors = [
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": list(scopes)},
                }
            ]
            raise Abort(self.error(403, "MISSING_SCOPES", text, errors=errors))

    def crm_kind(self, request: Request, plural: str) -> str:
        """The kind behind a path segment, after the scope check that belongs to it."""
        if plural not in CRM:
            raise Abort(self.error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {plural}"))
        kind = CRM[plural]
        # Notes, calls and tasks are covered by the contact scopes.
        owner = "contacts" if kind in ACTIVITIES else plural
        writes = request.method in ("PATCH", "PUT", "DELETE") or (
            request.method == "POST" and not request.raw_path.endswith(("/read", "/search"))
        )
        names = ["tickets"] if kind == "ticket" else [f"crm.objects.{owner}.{'write' if writes else 'read'}"]
        if not writes:
            names.append(f"crm.objects.{owner}.write")
        self.need(request, *names)
        return kind

    # Records

    def infer_kind(self, record: Record) -> str:
        return "contact" if "properties" in record else "article"

    def key_field(self, kind: str) -> str:
        return "name" if kind == "property" else "id"

    def complete(self, kind: str, record: Record) -> Record:
        now = self.stamp()
        if kind == "property":
            made = {
                "label": record["name"], "description": "", "type": "string", "fieldType": "text", "hidden": False,
                "groupName": "contactinformation", "hasUniqueValue": False, "options": [], "hubspotDefined": False,
                "formField": False, "calculated": False, "externalOptions": False, "displayOrder": -1, "createdAt": now,
                "updatedAt": now, "archived": False, **record,
            }  # fmt: skip
            rights = {"archivable": True, "readOnlyDefinition": False, "readOnlyValue": False}
            made["modificationMetadata"] = rights | record.get("modificationMetadata", {})
            made["options"] = [
                {"label": option["value"], "hidden": False, "displayOrder": place, **option}
                for place, option in enumerate(made["options"])
            ]
            return made
        number = str(record.get("id") or self.next_id())
        dates = {"createdAt": record.get("updatedAt", now), "updatedAt": now, "archived": False}
        if kind in CRM.values():
            associations = record.pop("associations", []) if "associations" in record else []
            made = {
                "id": number,
                **dates,
                **record,
                "properties": {k: text(v) for k, v in record.get("properties", {}).items()},
            }
            self.associate(kind, number, associations)
            return self.stamped(kind, {**made, "id": number})
        base: Record = {"language": "en", "state": "PUBLISHED", **dates}
        if kind == "blog_post":
            state = record.get("state", "PUBLISHED")
            base |= {
                **dict.fromkeys(POST_TEXTS, ""), **dict.fromkeys(POST_SWITCHES, False),
                **dict.fromkeys(POST_NUMBERS, 0), **{name: {} for name in POST_MAPS},
                **{name: [] for name in POST_LISTS}, "abStatus": "master", "authorName": "Sandbox", "categoryId": 3,
                "contentGroupId": "4401", "contentTypeCategory": "3", "name": "", "htmlTitle": record.get("name", ""),
                "postBody": "", "postSummary": "", "metaDescription": "", "slug": f"item-{number}",
                "url": f"https://blog.sandbox-hub.example/item-{number}", "currentState": state,
                "currentlyPublished": state.startswith("PUBLISHED"), "publishDate": dates["createdAt"],
                "publishedAt": dates["createdAt"],
            }  # fmt: skip
        if kind == "article":
            base |= {
                "title": "", "subtitle": "", "body": "", "path": f"item-{number}", "knowledgeBaseId": "5501",
                "url": f"https://kb.sandbox-hub.example/item-{number}", "accessType": "PUBLIC", "accessGroupIds": [],
                "archivedInDashboard": False, "tagIds": [], "publishedAt": dates["createdAt"],
            }  # fmt: skip
        return {**base, **record, "id": number}

    def changed(self, kind: str, known: Record, changes: Record) -> Record:
        changes = {**changes, "id": known.get("id")} if kind != "property" else changes
        if kind == "blog_post" and "state" in changes:
            state = changes["state"]
            changes = {"currentState": state, "currentlyPublished": state.startswith("PUBLISHED"), **changes}
        if kind not in CRM.values():
            return {**known, "updatedAt": self.stamp(), **changes}
        self.associate(kind, known["id"], changes.pop("associations", []))
        given = {k: text(v) for k, v in changes.get("properties", {}).items()}
        at = changes.get("updatedAt", self.stamp())
        merged = {**known, **changes, "properties": {**known["properties"], **given}, "updatedAt": at}
        return self.stamped(kind, merged)

    def stamped(self, kind: str, record: Record) -> Record:
        """The record with the properties that HubSpot calculates."""
        properties = dict(record["properties"])
        created = "hs_createdate" if kind in ACTIVITIES else "createdate"
        modified = MODIFIED.get(kind, "hs_lastmodifieddate")
        properties |= {"hs_object_id": record["id"], created: record["createdAt"], modified: record["updatedAt"]}
        if kind == "contact":
            if self.settings["lowercase_emails"] and properties.get("email"):
                properties["email"] = properties["email"].lower()
            for own, name in (("phone", "phone"), ("mobilephone", "mobile")):
                properties[f"hs_searchable_calculated_{name}_number"] = national(properties.get(own))
        return {**record, "properties": properties}

    def generate(self, kind: str, count: int, source: random.Random) -> list[Record]:
        now = self.clock.now()
        if kind in ("blog_post", "article"):
            title, body = ("name", "postBody") if kind == "blog_post" else ("title", "body")
            return [
                {title: a.title, body: a.body, "updatedAt": iso(now - 60 * (count - n))}
                for n, a in enumerate(articles(count, source))
            ]
        if kind == "contact":
            made = people(count, source)
            return [
                {
                    "properties": {
                        "email": p.email,
                        "firstname": p.first,
                        "lastname": p.last,
                        "phone": p.phone,
                        "company": p.company,
                    }
                }
                for p in made
            ]
        if kind in ("product", "ticket", "company", "deal"):
            name, text_field = {
                "product": ("name", "description"), "ticket": ("subject", "content"),
                "company": ("name", "description"),
                "deal": ("dealname", "description"),
            }[kind]  # fmt: skip
            return [
                {"properties": {name: a.title, text_field: a.body}, "updatedAt": iso(now - 60 * (count - n))}
                for n, a in enumerate(articles(count, source))
            ]
        return super().generate(kind, count, source)

    def associate(self, kind: str, key: str, wanted: Any) -> None:
        """Links from HubSpot's list of `{to, types}`, or from `{plural: [ids]}` in a seed."""
        if isinstance(wanted, dict):
            for plural, ids in wanted.items():
                for other in ids:
                    self.link((kind, key), (CRM[plural], str(other)), default_link(kind, CRM[plural]))
            return
        for item in wanted:
            for link in item.get("types") or [{}]:
                number = link.get("associationTypeId")
                if number not in LINKS or LINKS[number][0] != kind:
                    raise Abort(self.error(400, "VALIDATION_ERROR", f"No association type {number} exists for {kind}"))
                other = (LINKS[number][1], str(item["to"]["id"]))
                if other[1] not in self.records[other[0]]:
                    raise Abort(
                        self.error(400, "VALIDATION_ERROR", f"One or more associations are not valid: {other[1]}")
                    )
                self.link((kind, key), other, number)

    def link(self, one: tuple[str, str], other: tuple[str, str], number: int) -> None:
        self.links.setdefault(one, {}).setdefault(other, set()).add(number)
        self.links.setdefault(other, {}).setdefault(one, set()).add(default_link(other[0], one[0]))

    def linked(self, kind: str, key: str, to: str) -> list[tuple[str, set[int]]]:
        found = self.links.get((kind, key), {})
        return [(other[1], types) for other, types in found.items() if other[0] == to and other[1] in self.records[to]]

    def find(self, kind: str, key: str, id_property: str | None) -> Record | None:
        """A record by id, e-mail address (also a secondary one) or a property with unique values."""
        if id_property in (None, "", "hs_object_id"):
            return self.records[kind].get(key)
        if id_property == "email" and kind == "contact":
            if self.settings["email_reads_secondary"]:
                return self.holder(key)
            wanted = key.lower()
            return next((i for i in self.live(kind) if str(i["properties"].get("email") or "").lower() == wanted), None)
        known = self.records["property"].get(str(id_property))
        if kind != "contact" or known is None or not known["hasUniqueValue"]:
            raise Abort(self.error(400, "VALIDATION_ERROR", f"{id_property} is not a property with unique values"))
        return next((item for item in self.live(kind) if item["properties"].get(id_property) == key), None)

    def holder(self, email: str) -> Record | None:
        """The contact who has this e-mail address, as its primary or a secondary one."""
        return next((item for item in self.live("contact") if email.lower() in addresses(item)), None)

    def live(self, kind: str) -> list[Record]:
        return [item for item in self.records[kind].values() if not item["archived"]]

    def shown(self, kind: str, record: Record, wanted: Iterable[str], links: Iterable[str] = ()) -> Record:
        names, own = {*SHOWN.get(kind, ACTIVITY_SHOWN), *wanted}, record["properties"]
        absent = self.settings["unset_properties"] == "absent"
        given = {name: own.get(name) for name in sorted(names) if own.get(name) is not None or not absent}
        view = {**record, "properties": given}
        for plural in links:
            found = self.linked(kind, record["id"], CRM.get(plural, ""))
            if found:
                rows = [{"id": key, "type": f"{kind}_to_{CRM[plural]}"} for key, _ in found]
                view.setdefault("associations", {})[plural] = {"results": rows}
        return view

    # OAuth and identity

    @routes.on("POST", f"/oauth/{V}/token/introspect", public=True)
    def introspect(self, request: Request) -> Reply:
        self.client(request)
        value, now = str(request.object.get("token")), self.clock.now()
        token = self.access_tokens.get(value) or self.refresh_tokens.get(value)
        if token is None or token.dead or token.grant.revoked or token.expires_at <= now:
            return Reply({"active": False})
        grant, more = token.grant, {}
        if self.settings["introspect_fields"]:
            more = {
                **grant.identity, "user": "owner@sandbox-hub.example", "app_id": 4242, "client_id": grant.client_id,
                "scopes": list(grant.scope), "expires_in": round(token.expires_at - now), "token_type": "bearer",
            }  # fmt: skip
        return Reply({"active": True, **more})

    @routes.on("POST", f"/oauth/{V}/token/revoke", public=True)
    def revoke_token(self, request: Request) -> Reply:
        self.client(request)
        value = str(request.object.get("token"))
        token = self.refresh_tokens.get(value) or self.access_tokens.get(value)
        if token:
            token.dead = True  # issued access tokens live on: unconfirmed for this endpoint, so for the old one
        return Reply(None, 204)

    @routes.on("DELETE", f"/appinstalls/{V}/external-install")
    def uninstall(self, request: Request) -> Reply:
        assert request.grant
        for grant in self.grants:
            if grant.identity["hub_id"] == request.grant.identity["hub_id"]:
                grant.revoked = True
        return Reply(None, 204)

    @routes.on("GET", f"/account-info/{V}/details")
    def account(self, request: Request) -> Reply:
        assert request.grant
        return Reply({
            "portalId": request.grant.identity["hub_id"], "accountType": self.settings["account_type"],
            "timeZone": "US/Eastern", "companyCurrency": "USD", "additionalCurrencies": [], "utcOffset": "-05:00",
            "utcOffsetMilliseconds": -18_000_000, "uiDomain": self.settings["ui_domain"], "dataHostingLocation": "na1",
        })  # fmt: skip

    # CRM objects

    @routes.on("GET", OBJECTS + "/{type}")
    def list_objects(self, request: Request, plural: str) -> Reply:
        kind = self.crm_kind(request, plural)
        archived = request.query.get("archived") == "true"
        rows = sorted((r for r in self.records[kind].values() if r["archived"] == archived), key=number)
        after = request.integer("after", 0)
        rows = [row for row in rows if int(row["id"]) > after]
        size = self.page_size(request, "limit", 10, 100)
        names, links = request.values("properties"), request.values("associations")
        body: Record = {"results": [self.shown(kind, row, names, links) for row in rows[:size]]}
        return Reply(body | (self.paging(request, rows[size - 1]["id"]) if len(rows) > size else {}))

    def paging(self, request: Request, after: str) -> Record:
        return {"paging": {"next": {"after": after, "link": f"https://{request.host}{request.path}?after={after}"}}}

    @routes.on("GET", OBJECTS + "/{type}/{id}")
    def get_object(self, request: Request, plural: str, key: str) -> Reply:
        kind = self.crm_kind(request, plural)
        found = self.find(kind, key, request.query.get("idProperty"))
        if found is None or found["archived"] != (request.query.get("archived") == "true"):
            return self.error(404, "OBJECT_NOT_FOUND", f"Object not found. objectId {key} isn't found of type {kind}")
        return Reply(self.shown(kind, found, request.values("properties"), request.values("associations")))

    @routes.on("POST", OBJECTS + "/{type}/batch/read")
    def batch_read(self, request: Request, plural: str) -> Reply:
        kind, wanted = self.crm_kind(request, plural), request.object
        self.check_batch(wanted)
        if "propertiesWithHistory" not in wanted:
            return self.error(400, "VALIDATION_ERROR", "propertiesWithHistory is required")
        found, absent = [], []
        for item in wanted["inputs"]:
            record = self.find(kind, str(item["id"]), wanted.get("idProperty"))
            if record is None or record["archived"]:
                absent.append(str(item["id"]))
            else:
                found.append(self.shown(kind, record, wanted.get("properties") or ()))
        return self.batch(found, absent, "Could not get some objects")

    def check_batch(self, wanted: Record, most: int = 100) -> None:
        inputs = wanted.get("inputs")
        if not isinstance(inputs, list) or len(inputs) > most:
            raise Abort(self.error(400, "VALIDATION_ERROR", f"inputs must be a list of at most {most}"))

    def batch(self, results: list[Record], absent: list[str], message: str) -> Reply:
        now = self.stamp()
        body: Record = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        if not absent:
            return Reply(body)
        fault = {
            "status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": absent},
            "errors": [], "links": {},
        }  # fmt: skip
        return Reply({**body, "numErrors": 1, "errors": [fault]}, 207)

    @routes.on("POST", OBJECTS + "/{type}/search")
    def search(self, request: Request, plural: str) -> Reply:
        kind, wanted = self.crm_kind(request, plural), request.object
        groups = wanted.get("filterGroups") or []
        filters = [item for group in groups for item in group.get("filters", [])]
        if (
            len(request.body) > 3000
            or len(groups) > 5
            or len(filters) > 18
            or any(len(g.get("filters", [])) > 6 for g in groups)
        ):
            return self.error(400, "VALIDATION_ERROR", "The search has too many filters or is too long")
        if any("propertyName" not in f or f.get("operator") not in (*TESTS, *TESTS_OF_PRESENCE) for f in filters):
            return self.error(400, "VALIDATION_ERROR", "A filter lacks a propertyName or has an invalid operator")
        limit, after = int(wanted.get("limit", 10)), int(wanted.get("after") or 0)
        if limit > 200:
            return self.error(400, "VALIDATION_ERROR", "limit must not be greater than 200")
        if after + limit > SEARCH_DEPTH:
            return self.error(400, "VALIDATION_ERROR", "The maximum number of results per query is 10000")
        limit = min(limit, self.settings["page_size_max"] or limit)
        rows = [item for item in self.indexed(kind) if not item["archived"]]
        rows = [row for row in rows if not groups or any(self.fits(kind, row, g.get("filters", [])) for g in groups)]
        words = str(wanted.get("query") or "").lower().split()
        rows = [row for row in rows if all(word in searchable(row) for word in words)]
        rows.sort(key=number)
        for sort in reversed(wanted.get("sorts") or []):
            by = sort if isinstance(sort, str) else sort["propertyName"]
            down = by.startswith("-") or (isinstance(sort, dict) and sort.get("direction") == "DESCENDING")
            rows.sort(key=sorting(by.lstrip("-")), reverse=down)
        page = [self.shown(kind, row, wanted.get("properties") or ()) for row in rows[after : after + limit]]
        body: Record = {"total": len(rows), "results": page}
        return Reply(body | (self.paging(request, str(after + limit)) if after + limit < len(rows) else {}))

    def fits(self, kind: str, record: Record, filters: list[Record]) -> bool:
        return all(self.fits_one(kind, record, item) for item in filters)

    def fits_one(self, kind: str, record: Record, item: Record) -> bool:
        name, operator = item["propertyName"], item["operator"]
        if name.startswith("associations."):
            to = name.partition(".")[2]
            return any(key == str(item["value"]) for key, _ in self.linked(kind, record["id"], to))
        own = record["properties"].get(name)
        if operator in TESTS_OF_PRESENCE:
            return bool(own) is (operator == "HAS_PROPERTY")
        if own in (None, ""):
            return operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN")
        return TESTS[operator](own, item)

    @routes.on("POST", OBJECTS + "/{type}")
    def create_object(self, request: Request, plural: str) -> Reply:
        kind = self.crm_kind(request, plural)
        return Reply(self.created(kind, request.object), 201)

    def created(self, kind: str, wanted: Record) -> Record:
        properties = wanted.get("properties") or {}
        if kind == "contact" and not any(properties.get(name) for name in ("email", "firstname", "lastname")):
            raise Abort(self.error(400, "VALIDATION_ERROR", "One of email, firstname, lastname is needed"))
        if kind in ACTIVITIES and not properties.get("hs_timestamp"):
            raise Abort(self.invalid_properties("hs_timestamp", "REQUIRED_FIELD", "hs_timestamp is required"))
        self.check_rules(kind, properties)
        self.check_properties(kind, properties, None)
        made = self.complete(kind, {"properties": properties, "associations": wanted.get("associations") or []})
        self.save(kind, made)
        return self.shown(kind, made, properties)

    def check_rules(self, kind: str, properties: Record) -> None:
        """The account admin's validation rules, which writes obey since 2026-09."""
        required = self.settings["required_properties"] if kind == "contact" else []
        for name in required:
            if not properties.get(name):
                text = f"{name} is required by a validation rule"
                raise Abort(self.invalid_properties(name, "REQUIRED_FIELD", text))

    def check_properties(self, kind: str, properties: Record, own: str | None) -> None:
        if kind != "contact":
            self.check_activity(properties)
            return
        for name, value in properties.items():
            known = self.records["property"].get(name)
            if known is None:
                raise Abort(self.invalid_properties(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
            allowed = [option["value"] for option in known["options"]]
            if value and allowed and value not in allowed:
                raise Abort(
                    self.invalid_properties(name, "INVALID_OPTION", f"{value} was not one of the allowed options")
                )
            if (
                known["hasUniqueValue"]
                and value
                and (other := self.find(kind, str(value), name))
                and other["id"] != own
            ):
                raise Abort(self.error(409, "CONFLICT", f"{name} {value} is taken. Existing ID: {other['id']}"))
        email = str(properties.get("email") or "")
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            raise Abort(self.invalid_properties("email", "INVALID_EMAIL", f"Email address {email} is invalid"))
        other = self.holder(email) if email else None
        if other is not None and other["id"] != own:
            raise Abort(self.error(409, "CONFLICT", f"Contact already exists. Existing ID: {other['id']}"))

    def check_activity(self, properties: Record) -> None:
        for name, allowed in CHOICES.items():
            if properties.get(name) and properties[name] not in allowed:
                text = f"{properties[name]} was not one of the allowed options"
                raise Abort(self.invalid_properties(name, "INVALID_OPTION", text))
        if not str(properties.get("hs_call_duration") or "0").isdigit():
            text = "hs_call_duration is a number of milliseconds"
            raise Abort(self.invalid_properties("hs_call_duration", "INVALID_INTEGER", text))
        if len(str(properties.get("hs_note_body", ""))) > 65_536:
            raise Abort(self.invalid_properties("hs_note_body", "TOO_LONG", "hs_note_body is too long"))

    def invalid_properties(self, name: str, code: str, message: str) -> Reply:
        errors = [{"message": message, "code": code, "context": {"propertyName": [name]}}]
        return self.error(400, "VALIDATION_ERROR", f"Property values were not valid: {message}", errors=errors)

    @routes.on("PATCH", OBJECTS + "/{type}/{id}")
    def update_object(self, request: Request, plural: str, key: str) -> Reply:
        kind = self.crm_kind(request, plural)
        known = self.find(kind, key, request.query.get("idProperty"))
        if known is None or known["archived"]:
            return self.error(404, "OBJECT_NOT_FOUND", f"Object not found. objectId {key} isn't found of type {kind}")
        properties = request.object.get("properties") or {}
        self.check_rules(kind, {**known["properties"], **properties})
        self.check_properties(kind, properties, known["id"])
        changed = self.changed(kind, known, {"properties": properties})
        self.save(kind, changed)
        return Reply(self.shown(kind, changed, properties))

    @routes.on("DELETE", OBJECTS + "/{type}/{id}")
    def archive_object(self, request: Request, plural: str, key: str) -> Reply:
        kind = self.crm_kind(request, plural)
        if known := self.records[kind].get(key):
            self.save(kind, {**known, "archived": True, "archivedAt": self.stamp()})
        return Reply(None, 204)

    @routes.on("POST", OBJECTS + "/{type}/batch/upsert")
    def batch_upsert(self, request: Request, plural: str) -> Reply:
        kind = self.crm_kind(request, plural)
        self.check_batch(request.object)
        rows = []
        for item in request.object["inputs"]:
            properties, by = item.get("properties") or {}, item.get("idProperty")
            known = self.find(kind, str(item["id"]), by)
            if known is None:
                rows.append(
                    {
                        **self.created(kind, {"properties": {**({by: item["id"]} if by else {}), **properties}}),
                        "new": True,
                    }
                )
                continue
            if by == "email":
                # Not a partial update: what the row leaves out is cleared.
                kept = {name: "" for name in known["properties"] if name in CONTACT_TEXT and name != "email"}
                properties = {**kept, **properties}
            self.check_properties(kind, properties, known["id"])
            changed = self.changed(kind, known, {"properties": properties})
            self.save(kind, changed)
            rows.append({**self.shown(kind, changed, properties), "new": False})
        return self.batch(rows, [], "")

    @routes.on("PUT", OBJECTS + "/{type}/{id}/associations/default/{to}/{other}")
    def put_association(self, request: Request, plural: str, key: str, to: str, other: str) -> Reply:
        kind = self.crm_kind(request, plural)
        if to not in CRM or key not in self.records[kind] or other not in self.records[CRM[to]]:
            return self.not_found(request)
        number = default_link(kind, CRM[to])
        self.link((kind, key), (CRM[to], other), number)
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}
        return self.batch([{"from": {"id": key}, "to": {"id": other}, "associationSpec": spec}], [], "")

    @routes.on("POST", ASSOCIATIONS + "/{from}/{to}/batch/read")
    def read_associations(self, request: Request, plural: str, to: str) -> Reply:
        kind, other = self.crm_kind(request, plural), self.crm_kind(request, to)
        self.check_batch(request.object, most=1000)
        rows, absent = [], []
        for item in request.object["inputs"]:
            found = self.linked(kind, str(item["id"]), other)
            targets = [
                {
                    "toObjectId": key,
                    "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": n} for n in sorted(types)],
                }
                for key, types in found
            ]
            if targets:
                rows.append({"from": {"id": str(item["id"])}, "to": targets})
            else:
                absent.append(str(item["id"]))
        return self.batch(rows, absent, "No associations found")

    # Properties, pipelines, owners

    @routes.on("GET", f"/crm/properties/{V}/contacts")
    def properties(self, request: Request) -> Reply:
        self.need(request, "crm.schemas.contacts.read", "crm.objects.contacts.read")
        return Reply({"results": list(self.records["property"].values())})

    @routes.on("POST", f"/crm/properties/{V}/contacts")
    def create_property(self, request: Request) -> Reply:
        self.need(request, "crm.schemas.contacts.write")
        if request.object.get("name") in self.records["property"]:
            return self.error(409, "CONFLICT", f"A property named '{request.object['name']}' already exists.")
        made = self.complete("property", request.object)
        self.save("property", made)
        return Reply(made, 201)

    @routes.on("GET", f"/crm/pipelines/{V}/deals")
    def pipelines(self, request: Request) -> Reply:
        self.need(request, "crm.schemas.deals.read", "crm.objects.deals.read")
        return Reply({"results": list(self.records["pipeline"].values())})

    @routes.on("GET", f"/crm/owners/{V}")
    def owners(self, request: Request) -> Reply:
        self.need(request, "crm.objects.owners.read")
        email = request.query.get("email", "")
        return Reply({"results": [o for o in self.records["owner"].values() if not email or o["email"] == email]})

    # Content

    @routes.on("GET", BLOG)
    def blog_posts(self, request: Request) -> Reply:
        self.need(request, "content")
        return self.content(request, "blog_post", 20)

    @routes.on("GET", BLOG + "/{id}")
    def blog_post(self, request: Request, key: str) -> Reply:
        self.need(request, "content")
        found = self.records["blog_post"].get(key)
        return Reply(self.published("blog_post", found)) if found else self.not_found(request)

    @routes.on("GET", KNOWLEDGE)
    def knowledge_articles(self, request: Request) -> Reply:
        self.knowledge(request)
        if request.integer("limit", ARTICLES_PAGE) > ARTICLES_PAGE:
            return self.error(400, "VALIDATION_ERROR", f"limit must not be greater than {ARTICLES_PAGE}")
        return self.content(request, "article", ARTICLES_PAGE)

    @routes.on("GET", KNOWLEDGE + "/{id}")
    def knowledge_article(self, request: Request, key: str) -> Reply:
        self.knowledge(request)
        found = self.records["article"].get(key)
        return Reply(self.published("article", found)) if found else self.not_found(request)

    def knowledge(self, request: Request) -> None:
        """Aborts where the account has no knowledge base (setting `knowledge_base`: 200, 403 or 404)."""
        if self.settings["knowledge_base"] == 404:
            raise Abort(self.not_found(request))
        if self.settings["knowledge_base"] == 403:
            raise Abort(self.error(403, "MISSING_SCOPES", "This account has no access to the knowledge base"))
        self.need(request, "cms.knowledge_base.articles.read")

    def content(self, request: Request, kind: str, default: int) -> Reply:
        query, archived = request.query, request.query.get("archived") == "true"
        rows = [row for row in self.records[kind].values() if row["archived"] == archived]
        for name, stored in (("updated", "updatedAt"), ("created", "createdAt")):
            if low := query.get(f"{name}After"):
                rows = [row for row in rows if epoch(row[stored]) > epoch(low)]
            if high := query.get(f"{name}Before"):
                rows = [row for row in rows if epoch(row[stored]) < epoch(high)]
        for name in {"state", "language"} & query.keys():
            rows = [row for row in rows if row[name] == query[name]]
        total, after = len(rows), request.integer("after", 0)
        rows, size = [row for row in rows if int(row["id"]) > after], self.page_size(request, "limit", default, 100)
        rows.sort(key=number)
        # The list of articles tells no total.
        body: Record = {"total": total} if kind == "blog_post" else {}
        body["results"] = [self.published(kind, row) for row in rows[:size]]
        return Reply(body | (self.paging(request, rows[size - 1]["id"]) if len(rows) > size else {}))

    def published(self, kind: str, record: Record) -> Record:
        """A post or an article as its own interface shows it."""
        view = {name: value for name, value in record.items() if name != "archived"}
        if kind == "blog_post" and self.settings["post_times"] == "updated":
            for own, name in (("createdAt", "created"), ("updatedAt", "updated")):
                view[name] = view.pop(own)
        return view

    @routes.on("GET", f"/cms/site-search/{V}/search")
    def site_search(self, request: Request) -> Reply:
        self.need(request, "content")
        words = request.query.get("q", "").lower().split()
        if not words:
            return self.error(400, "VALIDATION_ERROR", "q is required")
        rows = [
            a for a in self.records["article"].values() if all(w in f"{a['title']} {a['body']}".lower() for w in words)
        ]
        size, offset = self.page_size(request, "limit", 10, 100), request.integer("offset", 0)
        found = [{"id": a["id"], "title": a["title"], "url": a["url"], "type": "KNOWLEDGE_ARTICLE"} for a in rows]
        return Reply({"total": len(found), "offset": offset, "limit": size, "results": found[offset : offset + size]})


def number(record: Record) -> int:
    return int(record["id"])


def text(value: Any) -> str:
    """All property values are strings; an empty one clears."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def default_link(one: str, other: str) -> int:
    return next((key for key, pair in LINKS.items() if pair == (one, other)), 0)


def addresses(contact: Record) -> set[str]:
    """The primary and the secondary e-mail addresses, in lower case."""
    properties = contact["properties"]
    both = f"{properties.get('email') or ''};{properties.get('hs_additional_emails') or ''}".lower()
    return {item.strip() for item in both.split(";")} - {""}


def national(phone: str | None) -> str | None:
    """A phone number without its country code, as HubSpot's calculated properties hold it."""
    if not phone:
        return None
    try:
        return str(phonenumbers.parse(phone, "US").national_number)
    except phonenumbers.NumberParseException:
        return re.sub(r"\D", "", phone) or None


def searchable(record: Record) -> str:
    return " ".join(str(value or "") for value in record["properties"].values()).lower()


def comparable(value: Any) -> tuple[int, float, str]:
    """Numbers and times sort before text; times compare as epochs whichever way they are written."""
    plain = str(value).lower()
    try:
        return (0, float(plain), "")
    except ValueError:
        pass
    try:
        return (0, epoch(str(value)) * 1000, "")
    except ValueError:
        return (1, 0.0, plain)


def sorting(name: str) -> Callable[[Record], tuple[int, float, str]]:
    return lambda record: comparable(record["properties"].get(name) or "")


def has_token(own: Any, item: Record) -> bool:
    whole, pattern = str(own).lower(), str(item["value"]).lower()
    return any(fnmatch.fnmatchcase(part, pattern) for part in (whole, *re.split(r"[^\w]+", whole)))


def listed(own: Any, item: Record) -> bool:
    # IN compares with what the index holds, in lower case: values in upper case never fit.
    return str(own).lower() in [str(value) for value in item["values"]]


TESTS_OF_PRESENCE = ("HAS_PROPERTY", "NOT_HAS_PROPERTY")
TESTS: dict[str, Callable[[Any, Record], bool]] = {
    "EQ": lambda own, item: comparable(own) == comparable(item["value"]),
    "NEQ": lambda own, item: comparable(own) != comparable(item["value"]),
    "LT": lambda own, item: comparable(own) < comparable(item["value"]),
    "LTE": lambda own, item: comparable(own) <= comparable(item["value"]),
    "GT": lambda own, item: comparable(own) > comparable(item["value"]),
    "GTE": lambda own, item: comparable(own) >= comparable(item["value"]),
    "BETWEEN": lambda own, item: comparable(item["value"]) <= comparable(own) <= comparable(item["highValue"]),
    "IN": listed,
    "NOT_IN": lambda own, item: not listed(own, item),
    "CONTAINS_TOKEN": has_token,
    "NOT_CONTAINS_TOKEN": lambda own, item: not has_token(own, item),
}
