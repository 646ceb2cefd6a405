"""The double of the throw-away eleventh provider."""

import hashlib
import hmac
from typing import Any, ClassVar

from sandbox.double import Abort, Double, OAuth, OAuthFailure, Record, Reply, Request, Routes, TokenFailure

PAGE = 2


def fault(kind: str, says: str) -> Reply:
    return Reply({"fault": {"kind": kind, "says": says}})


class AcmeDouble(Double):
    name, title = "acme", "Acme"
    hosts = (r"api\.acme\.test", r"acme\.test")
    routes: ClassVar[Routes] = Routes()
    oauth = OAuth("/oauth/authorize", "/oauth/token", bodies=frozenset({"form"}))
    kinds: ClassVar[dict[str, str]] = {"people": "person", "notes": "note", "guides": "guide"}
    defaults: ClassVar[Record] = {"rotation": "rotate"}

    def client(self, request: Request) -> tuple[str, Record]:
        secret = self.settings["client_secret"].encode()
        signature = hmac.new(secret, request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, request.headers.get("x-acme-signature", "")):
            raise Abort(self.oauth_error("client"))
        return request.headers["x-acme-client"], request.object

    def unauthenticated(self, failure: TokenFailure) -> Reply:
        return fault("token", failure)

    def not_found(self, request: Request) -> Reply:
        return fault("missing", "nothing here")

    def oauth_error(self, failure: OAuthFailure) -> Reply:
        return Reply({"error": "invalid_client" if failure == "client" else "invalid_grant"}, 400)

    def infer_kind(self, record: Record) -> str:
        return "guide" if "text" in record else "person"

    def page(self, request: Request, name: str, items: list[Any], size: int) -> Reply:
        start = request.integer("from", 0)
        headers = {"x-acme-continue": str(start + size)} if start + size < len(items) else {}
        return Reply({name: items[start : start + size]}, headers=headers)

    @routes.on("GET", "/v1/whoami")
    def whoami(self, request: Request) -> Reply:
        return Reply({"org": 7, "org_name": "Acme test org"})

    @routes.on("GET", "/v1/people")
    def people(self, request: Request) -> Reply:
        mail = request.query.get("mail")
        found = [p for p in self.records["person"].values() if mail is None or p.get("mail") == mail]
        return self.page(request, "people", found, request.integer("count", 100))

    @routes.on("GET", "/v1/people/{id}")
    def one(self, request: Request, key: str) -> Reply:
        found = self.records["person"].get(key)
        return Reply(found) if found else self.not_found(request)

    @routes.on("POST", "/v1/people")
    def add(self, request: Request) -> Reply:
        key = self.save("person", self.complete("person", request.object))
        return Reply(self.records["person"][str(key)], 201)

    @routes.on("PATCH", "/v1/people/{id}")
    def change(self, request: Request, key: str) -> Reply:
        self.save("person", {**self.records["person"][key], **request.object})
        return Reply(self.records["person"][key])

    @routes.on("POST", "/v1/people/{id}/notes")
    def note(self, request: Request, key: str) -> Reply:
        made = self.complete("note", {**request.object, "person": key})
        self.save("note", made)
        return Reply(made, 201)

    @routes.on("GET", "/v1/people/{id}/notes")
    def notes(self, request: Request, key: str) -> Reply:
        return Reply({"notes": [n for n in self.records["note"].values() if n["person"] == key]})

    @routes.on("GET", "/v1/guides")
    def guides(self, request: Request) -> Reply:
        found = [{"link": f"https://acme.test/guides/{g['id']}", **g} for g in self.records["guide"].values()]
        return self.page(request, "guides", found, PAGE)
