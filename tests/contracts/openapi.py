"""Contracts in OpenAPI 3.0 and Swagger 2."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import yaml

from tests.contracts.deviations import CORRECTIONS, FORMATS
from tests.contracts.exchange import Exchange, Message, Verdict, Violation, parsed
from tests.contracts.forms import Schema, tree, typed
from tests.contracts.schemas import Breach, Schemas, breaches

METHODS = ("get", "post", "put", "patch", "delete")
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def load(path: Path) -> Any:
    """A contract's file; the C loader reads the long YAML ones in a tenth of the time."""
    if path.suffix == ".yaml":
        return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return json.loads(path.read_text())


@dataclass
class Operation:
    """One method of one path, with validators that are compiled when they are first needed."""

    schemas: Schemas
    method: str
    template: str
    raw: Schema
    swagger2: bool = False

    def __post_init__(self) -> None:
        parts = re.split(r"(\{[^}]+\})", self.template)
        self.names = [part[1:-1] for part in parts if part.startswith("{")]
        pattern = "".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in parts)
        self.pattern = re.compile(pattern)
        self._validators: dict[str, Any] = {}

    @property
    def title(self) -> str:
        return f"{self.method.upper()} {self.template}"

    @cached_property
    def parameters(self) -> list[Schema]:
        return [self.schemas.resolve(parameter) for parameter in self.raw.get("parameters", ())]

    def placed(self, *places: str) -> Schema:
        """The parameters of some places as the schema of one object."""
        found = [p for p in self.parameters if p["in"] in places]
        return {
            "type": "object",
            "properties": {p["name"]: self.schema_of(p) for p in found},
            "required": [p["name"] for p in found if p.get("required")],
            "additionalProperties": False,
        }

    def schema_of(self, parameter: Schema) -> Schema:
        """A parameter's schema; in Swagger 2 it is the parameter itself."""
        if self.swagger2:
            return {name: value for name, value in parameter.items() if name not in ("in", "name", "required")}
        schema: Schema = parameter.get("schema", {})
        if parameter["in"] == "query" and "enum" in schema and self.by_commas(parameter):
            return {"type": "array", "items": schema}
        # A required header with a default has to be sent, and with that value: a version is pinned so.
        pinned = parameter["in"] == "header" and parameter.get("required") and "default" in schema
        return {**schema, "enum": [schema["default"]]} if pinned else schema

    def by_commas(self, parameter: Schema) -> bool:
        """Whether the description says what no `style` says: that values are separated by commas."""
        return "comma" in parameter.get("description", "").lower()

    def against(self, place: str, schema: Schema, value: Any, *, answer: bool = False) -> list[Breach]:
        """Breaches of `schema`, which is compiled once for each place."""
        if place not in self._validators:
            self._validators[place] = self.schemas.compiled(schema, "answer" if answer else "request")
        return breaches(self._validators[place], value)


class OpenApi:
    """A contract in OpenAPI 3.0; `mount` is what stands before its paths, as a regular expression with the host."""

    swagger2 = False

    def __init__(self, name: str, file: Path, mount: str) -> None:
        self.name, self.mount = name, re.compile(mount)
        self.document = load(file)
        for correction in CORRECTIONS:
            if correction.contract == name:
                correction.apply(self.document)
        formats = {form.name: form.accepts for form in FORMATS if form.contract == name}
        schemas = Schemas(self.document, formats)
        self.operations = [
            Operation(schemas, method, template, raw, self.swagger2)
            for template, item in self.document["paths"].items()
            for method, raw in item.items()
            if method in METHODS
        ]
        # `/persons/search` is no person.
        self.operations.sort(key=lambda o: len(o.names))

    # --- what is meant --------------------------------------------------------------------------------------------

    def rest(self, request: Message) -> str | None:
        """The path behind the mount; None where the host or the path is not this contract's."""
        found = self.mount.match(request.host + request.path)
        return (request.host + request.path)[found.end() :] if found else None

    def holds(self, exchange: Exchange) -> bool:
        return self.rest(exchange.request) is not None

    def operation(self, request: Message) -> tuple[Operation, list[str]] | None:
        """The operation, and the values in its path."""
        path = self.rest(request) or ""
        for operation in self.operations:
            if operation.method == request.method.lower() and (match := operation.pattern.fullmatch(path)):
                return operation, [unquote(value) for value in match.groups()]
        return None

    # --- checks -----------------------------------------------------------------------------------------------------

    def check(self, exchange: Exchange) -> Verdict:
        request, found = exchange.request, self.operation(exchange.request)
        if found is None:
            return Verdict([Violation(self.name, f"{request.method} {self.rest(request)}", "path", "unknown")])
        operation, values = found
        wrong = self.request(operation, request, values)
        undescribed = False
        if exchange.answer is not None:
            told, undescribed = self.answer(operation, exchange)
            wrong += told
        title = operation.title
        return Verdict([Violation(self.name, title, place, rule, said) for place, rule, said in wrong], undescribed)

    def request(self, operation: Operation, request: Message, values: list[str]) -> list[Breach]:
        """Everything that the contract says of a request."""
        return [
            *self.place(operation, "path", dict(zip(operation.names, values, strict=True))),
            *self.place(operation, "query", self.query(operation, request)),
            *self.headers(operation, request),
            *self.body(operation, request),
        ]

    @staticmethod
    def query(operation: Operation, request: Message) -> dict[str, Any]:
        """The query by parameters; brackets are structure unless a parameter's own name has them."""
        own = {p["name"]: p for p in operation.parameters if p["in"] == "query"}
        found = tree([pair for pair in request.pairs if pair[0] not in own])
        for name, parameter in own.items():
            values = [value for key, value in request.pairs if key == name]
            listed = operation.schemas.resolve(operation.schema_of(parameter)).get("type") == "array"
            if listed and operation.by_commas(parameter):
                values = [part for value in values for part in value.split(",")]
            if values:
                # A scalar that is given twice stays a list and breaks its schema.
                found[name] = values if listed or len(values) > 1 or name in found else values[0]
        return found

    @staticmethod
    def place(operation: Operation, place: str, given: dict[str, Any]) -> list[Breach]:
        """Parameters of a path, a query or the headers, texts as they are."""
        schema = operation.placed(place)
        value = typed(given, schema, operation.schemas.resolve)
        return _under(place, operation.against(place, schema, value))

    def headers(self, operation: Operation, request: Message) -> list[Breach]:
        """Headers that the contract lists; others are HTTP's own."""
        schema = operation.placed("header")
        if not schema["properties"]:
            return []
        schema["properties"] = {name.lower(): sub for name, sub in schema["properties"].items()}
        schema["required"] = [name.lower() for name in schema["required"]]
        given = {name: value for name, value in request.headers.items() if name in schema["properties"]}
        value = typed(given, schema, operation.schemas.resolve)
        return _under("header", operation.against("header", schema, value))

    def body(self, operation: Operation, request: Message) -> list[Breach]:
        """Media type and schema of a body."""
        wanted = operation.raw.get("requestBody")
        if wanted is None:
            return [("body", "unknown", "")] if request.body else []
        if not request.body:
            return [("body", "required", "")] if wanted.get("required") else []
        content = operation.schemas.resolve(wanted)["content"]
        if request.media not in content:
            return [("header.content-type", "enum", request.media)]
        schema = content[request.media].get("schema", {})
        if request.media == FORM:
            value = tree(parse_qsl(request.body.decode(), keep_blank_values=True))
            value = typed(value, schema, operation.schemas.resolve)
        else:
            value, fine = parsed(request.body)
            if not fine:
                return [("body", "json", "")]
        return _under("body", operation.against(f"body {request.media}", schema, value))

    def answer(self, operation: Operation, exchange: Exchange) -> tuple[list[Breach], bool]:
        """Status, media type and schema of an answer; and whether it is an error that the contract leaves out."""
        answer = exchange.answer
        assert answer is not None
        documented = operation.raw["responses"]
        response = documented.get(str(answer.status)) or documented.get("default")
        if response is None:
            if answer.status >= 400:
                return [], True
            return [(f"answer.status {answer.status}", "unknown", "")], False
        content = operation.schemas.resolve(response).get("content", {})
        if answer.status == 204:  # some contracts give it a media type; it has no body all the same
            return ([("answer", "unknown", "a body where there is none")] if answer.body else []), False
        if not content:
            return [], answer.status >= 400
        if answer.media not in content:
            return [("answer.content-type", "enum", answer.media)], False
        schema = content[answer.media].get("schema")
        if schema is None:
            return [], answer.status >= 400
        value, fine = parsed(answer.body)
        if not fine:
            return [("answer", "json", "")], False
        key = f"answer {answer.status if str(answer.status) in documented else 'default'}"
        return _under("answer", operation.against(key, schema, value, answer=True)), False


def _under(place: str, found: list[Breach]) -> list[Breach]:
    return [(place + path, rule, said) for path, rule, said in found]
