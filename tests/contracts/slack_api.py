"""Slack's contract: Swagger 2 of 2021, with the answers of a newer SDK as second source.

All is 200 and `ok` tells; arguments come by query, form or JSON; the token comes as a header of HTTP's own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.contracts.exchange import Exchange, Message, parsed
from tests.contracts.forms import Schema, tree, typed
from tests.contracts.openapi import FORM, JSON, OpenApi, Operation
from tests.contracts.schemas import Breach

TOKEN = "token"
WITHOUT_TOKEN = ("/oauth.v2.access", "/api.test")
SAMPLED = ("unknown", "type", "null", "pattern", "anyOf")
"""Rules in which a newer sample may win over the schema; what is required stays required."""


class Slack(OpenApi):
    """The Web API; a method is a path, whether it is called by GET or POST."""

    swagger2 = True

    def __init__(self, name: str, file: Path, samples: Path, mount: str) -> None:
        super().__init__(name, file, mount)
        self.samples = {method: _shape(sample) for method, sample in json.loads(samples.read_text()).items()}

    def operation(self, request: Message) -> tuple[Operation, list[str]] | None:
        path = self.rest(request) or ""
        known = request.method in ("GET", "POST")
        return next(((o, []) for o in self.operations if known and o.template == path), None)

    # --- requests ---------------------------------------------------------------------------------------------------

    def request(self, operation: Operation, request: Message, values: list[str]) -> list[Breach]:
        """All arguments together, wherever they stand."""
        wrong: list[Breach] = []
        given = tree(request.pairs)
        place = "query"
        if request.body:
            place = "body"
            if request.media not in operation.raw.get("consumes", (FORM,)):
                wrong.append(("header.content-type", "enum", request.media))
            if request.media == JSON:
                body, fine = parsed(request.body)
                if not fine or not isinstance(body, dict):
                    return [*wrong, ("body", "json", "")]
                given |= {name: self.as_argument(operation, name, value) for name, value in body.items()}
            else:
                given |= tree(parse_qsl(request.body.decode(), keep_blank_values=True))
        bearer = request.headers.get("authorization", "").startswith("Bearer ")
        if not bearer and operation.template not in WITHOUT_TOKEN:
            wrong.append(("header.authorization", "required", ""))
        schema = operation.placed("query", "formData")
        schema["properties"].pop(TOKEN, None)
        schema["required"] = [name for name in schema["required"] if name != TOKEN]
        value = typed(given, schema, operation.schemas.resolve)
        found = operation.against("arguments", schema, value)
        return [*wrong, *((place + path, rule, said) for path, rule, said in found)]

    @staticmethod
    def as_argument(operation: Operation, name: str, value: Any) -> Any:
        """JSON bodies carry as structure what forms carry as JSON in a text."""
        described = next((p.get("description", "") for p in operation.parameters if p["name"] == name), "")
        return json.dumps(value) if isinstance(value, dict | list) and "JSON-based" in described else value

    # --- answers ----------------------------------------------------------------------------------------------------

    def answer(self, operation: Operation, exchange: Exchange) -> tuple[list[Breach], bool]:
        answer = exchange.answer
        assert answer is not None
        if answer.status != 200:
            return [], True
        if answer.media != JSON:
            return [("answer.content-type", "enum", answer.media)], False
        value, fine = parsed(answer.body)
        if not fine or not isinstance(value, dict):
            return [("answer", "json", "")], False
        response = "200" if value.get("ok") is True else "default"
        schema = operation.raw["responses"][response].get("schema", {})
        wrong = operation.against(f"answer {response}", schema, value, answer=True)
        sample = self.samples.get(operation.template.removeprefix("/"))
        if sample:
            newer = operation.against(f"sample {response}", sample, value, answer=True)
            wrong = _together(wrong, newer, schema)
        return [("answer" + path, rule, said) for path, rule, said in wrong], False


def _together(wrong: list[Breach], newer: list[Breach], schema: Schema) -> list[Breach]:
    """What neither source knows; of a property that an open schema does not name, the sample alone decides."""
    misfits = {place for place, _, _ in newer}
    kept = [breach for breach in wrong if breach[1] not in SAMPLED or _within(breach[0], misfits)]
    if schema.get("additionalProperties") is True:
        own = {re.split(r"[.\[]", place)[1] for place in misfits} - set(schema.get("properties", {}))
        kept += [breach for breach in newer if re.split(r"[.\[]", breach[0])[1] in own]
    return kept


def _within(place: str, misfits: set[str]) -> bool:
    return any(place == misfit or place.startswith((misfit + ".", misfit + "[")) for misfit in misfits)


def _shape(sample: Any) -> Schema:
    """A sample as schema: the names that it has, and the kinds of its values; empty containers tell nothing."""
    if isinstance(sample, dict):
        if not sample:
            return {}
        return {
            "type": "object", "nullable": True, "additionalProperties": False,
            "properties": {name: _shape(value) for name, value in sample.items()},
        }  # fmt: skip
    if isinstance(sample, list):
        return {"type": "array", "nullable": True, "items": _shape(sample[0])} if sample else {}
    if isinstance(sample, bool):
        return {"type": "boolean", "nullable": True}
    if isinstance(sample, int | float):
        return {"type": "number", "nullable": True}
    return {"type": "string", "nullable": True} if isinstance(sample, str) else {}
