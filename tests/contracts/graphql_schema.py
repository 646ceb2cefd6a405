"""A GraphQL schema as contract: documents and variables are validated by graphql-core, answers by the selection.

A selection set becomes a JSON Schema, so that an answer with thousands of nodes costs what any other answer costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLEnumType,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    build_schema,
    is_abstract_type,
    is_composite_type,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from tests.contracts.exchange import Answer, Exchange, Message, Verdict, Violation, parsed
from tests.contracts.forms import Schema
from tests.contracts.schemas import Breach, Validator, breaches, compiled

TEXT: Schema = {"type": "string"}
DECIMAL: Schema = {"type": "string", "format": "decimal"}
SCALARS: dict[str, Schema] = {
    "String": TEXT, "HTML": TEXT, "FormattedString": TEXT, "ID": {"type": "string", "minLength": 1},
    "URL": {"type": "string", "format": "uri"}, "Int": {"type": "integer"}, "Float": {"type": "number"},
    "Boolean": {"type": "boolean"}, "DateTime": {"type": "string", "format": "date-time"},
    "Date": {"type": "string", "format": "date"}, "Decimal": DECIMAL, "Money": DECIMAL,
    "UnsignedInt64": {"type": "string", "pattern": r"^\d+$"}, "JSON": {},
}  # fmt: skip
ERRORS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "message": TEXT,
            "locations": {"type": "array"},
            "path": {"type": "array"},
            "extensions": {"type": "object"},
        },
        "required": ["message"],
        "additionalProperties": False,
    },
}
NUMBER: Schema = {"type": "number"}
COST: Schema = {
    "type": "object",
    "properties": {
        "requestedQueryCost": NUMBER,
        "actualQueryCost": {"type": ["number", "null"]},
        "throttleStatus": {
            "type": "object",
            "properties": {"maximumAvailable": NUMBER, "currentlyAvailable": NUMBER, "restoreRate": NUMBER},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
"""What Shopify adds to every answer; no schema speaks of it (shopify.dev, rate limits)."""
EXTENSIONS: Schema = {"type": "object", "properties": {"cost": COST}, "additionalProperties": False}
BODY: Schema = {
    "type": "object",
    "properties": {"query": TEXT, "variables": {"type": ["object", "null"]}, "operationName": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}


class GraphQl:
    """A GraphQL contract; `endpoint` is host and path as a regular expression, `files` are read one after another."""

    def __init__(self, name: str, files: Iterable[Path], endpoint: str) -> None:
        self.name, self.endpoint = name, re.compile(endpoint)
        self.schema = build_schema("\n".join(file.read_text() for file in files))
        for scalar, wanted in SCALARS.items():
            if isinstance(kind := self.schema.type_map.get(scalar), GraphQLScalarType) and wanted and scalar != "ID":
                _strict(kind, wanted)
        self.body = compiled(BODY)
        self.plans: dict[str, Plan] = {}

    def holds(self, exchange: Exchange) -> bool:
        return self.endpoint.fullmatch(exchange.request.host + exchange.request.path) is not None

    def check(self, exchange: Exchange) -> Verdict:
        body, fine = parsed(exchange.request.body)
        wrong: list[Breach] = self.envelope(exchange.request, body, fine=fine)
        title, undescribed = exchange.request.method, False
        if not wrong:
            plan = self.plan(body["query"])
            title = plan.title
            wrong += plan.wrong + plan.variables(body.get("variables") or {})
            if exchange.answer is not None:
                undescribed = exchange.answer.status != 200
                wrong += [] if undescribed else plan.answer(exchange.answer)
        return Verdict([Violation(self.name, title, place, rule, said) for place, rule, said in wrong], undescribed)

    def envelope(self, request: Message, body: Any, *, fine: bool) -> list[Breach]:
        """What carries the document."""
        if request.method != "POST":
            return [("method", "enum", request.method)]
        if request.query:
            return [("query", "unknown", request.query)]
        if request.media != "application/json":
            return [("header.content-type", "enum", request.media)]
        if not fine:
            return [("body", "json", "")]
        return [("body" + path, rule, said) for path, rule, said in breaches(self.body, body)]

    def plan(self, query: str) -> Plan:
        """What a document asks for; clients have few and send them often."""
        if query not in self.plans:
            self.plans[query] = Plan(self, query)
        return self.plans[query]


class Plan:
    """One document: what is wrong with it, and the schema of its answer."""

    def __init__(self, contract: GraphQl, query: str) -> None:
        self.schema, self.title = contract.schema, "document"
        self.operation: OperationDefinitionNode | None = None
        self.validator: Validator | None = None
        try:
            document = parse(query)
        except GraphQLSyntaxError as error:
            self.wrong: list[Breach] = [("document", "syntax", error.message)]
            return
        self.wrong = [_told(error) for error in validate(self.schema, document)]
        self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operation = _operation(document)
        if self.operation is None:
            self.wrong.append(("document", "operations", "one is wanted"))
            return
        name = self.operation.name.value if self.operation.name else "without a name"
        self.title = f"{self.operation.operation.value} {name}"
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None
        data = self.composite(root, self.operation.selection_set.selections)
        self.validator = compiled(
            {
                "type": "object",
                "properties": {"data": _or_null(data), "errors": ERRORS, "extensions": EXTENSIONS},
                "anyOf": [{"required": ["data"]}, {"required": ["errors"]}],
                "additionalProperties": False,
            }
        )

    def variables(self, given: dict[str, Any]) -> list[Breach]:
        """Variables as the schema coerces them; those that the document does not name are unknown."""
        if self.operation is None:
            return []
        definitions = self.operation.variable_definitions or ()
        known = {definition.variable.name.value for definition in definitions}
        wrong: list[Breach] = [(f"variables.{name}", "unknown", "") for name in given if name not in known]
        coerced = get_variable_values(self.schema, definitions, given)
        for error in coerced if isinstance(coerced, list) else []:
            named = re.search(r"\$(\w+)(?:['\"] has invalid value at ((?:\.\w+|\[\d+\])+))?", error.message)
            place = f"variables.{named[1]}{named[2] or ''}" if named else "variables"
            wrong.append((place, "type", error.message))
        return wrong

    def answer(self, answer: Answer) -> list[Breach]:
        """Every answered field has its type; those that may not be null are there; nothing else is."""
        value, fine = parsed(answer.body)
        if answer.media != "application/json":
            return [("answer.content-type", "enum", answer.media)]
        if not fine:
            return [("answer", "json", "")]
        if self.validator is None:
            return []
        return [("answer" + path, rule, said) for path, rule, said in breaches(self.validator, value)]

    # --- selections as schemas --------------------------------------------------------------------------------------

    def output(self, kind: GraphQLOutputType, selections: list[SelectionNode]) -> Schema:
        """The schema of a field's value."""
        if isinstance(kind, GraphQLNonNull):
            return self.present(kind.of_type, selections)
        return _or_null(self.present(kind, selections))

    def present(self, kind: Any, selections: list[SelectionNode]) -> Schema:
        if isinstance(kind, GraphQLList):
            return {"type": "array", "items": self.output(kind.of_type, selections)}
        if isinstance(kind, GraphQLEnumType):
            return {"enum": list(kind.values)}
        if isinstance(kind, GraphQLScalarType):
            return SCALARS[kind.name]
        return self.composite(kind, selections)

    def composite(self, kind: GraphQLCompositeType, selections: Iterable[SelectionNode]) -> Schema:
        """An object, or one of the objects that an interface or union may be."""
        if is_abstract_type(kind):
            return {"anyOf": [self.object(each, selections) for each in self.schema.get_possible_types(kind)]}
        assert isinstance(kind, GraphQLObjectType)
        return self.object(kind, selections)

    def object(self, kind: GraphQLObjectType, selections: Iterable[SelectionNode]) -> Schema:
        fields: dict[str, list[FieldNode]] = {}
        self.collect(kind, selections, fields)
        properties: dict[str, Schema] = {}
        optional = set()
        for key, nodes in fields.items():
            name = nodes[0].name.value
            inner = [s for node in nodes if node.selection_set for s in node.selection_set.selections]
            if any(node.directives for node in nodes):
                optional.add(key)
            if name == "__typename":
                properties[key] = {"const": kind.name}
            elif name in kind.fields:
                properties[key] = self.output(kind.fields[name].type, inner)
            else:  # the document's own violation: what is answered to it, no contract says
                properties[key] = {}
        return {
            "type": "object",
            "properties": properties,
            "required": [key for key in properties if key not in optional],
            "additionalProperties": False,
        }

    def collect(
        self, kind: GraphQLObjectType, selections: Iterable[SelectionNode], into: dict[str, list[FieldNode]]
    ) -> None:
        """The fields that are selected of an object of this type, by the names that they have in the answer."""
        for node in selections:
            if isinstance(node, FieldNode):
                into.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
                continue
            fragment: Any = node
            if isinstance(node, FragmentSpreadNode):
                fragment = self.fragments.get(node.name.value)
            assert fragment is None or isinstance(fragment, FragmentDefinitionNode | InlineFragmentNode)
            if fragment is not None and self.applies(kind, fragment.type_condition):
                self.collect(kind, fragment.selection_set.selections, into)

    def applies(self, kind: GraphQLObjectType, condition: Any) -> bool:
        other = self.schema.get_type(condition.name.value) if condition else kind
        if other is kind or other is None:
            return other is kind
        return is_composite_type(other) and is_abstract_type(other) and self.schema.is_sub_type(other, kind)


def _operation(document: DocumentNode) -> OperationDefinitionNode | None:
    found = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    return found[0] if len(found) == 1 else None


def _told(error: GraphQLError) -> Breach:
    """Where in the schema a document is wrong, as `QueryRoot.pages(query)`."""
    text = error.message.replace('"', "'")
    if found := re.match(r"Unknown argument '(\w+)' on field '([\w.]+)'", text):
        return f"document.{found[2]}({found[1]})", "unknown", ""
    if found := re.match(r"Cannot query field '(\w+)' on type '(\w+)'", text):
        return f"document.{found[2]}.{found[1]}", "unknown", ""
    if found := re.match(r"Field '(\w+)' is not defined by type '(\w+)'", text):
        return f"document.{found[2]}.{found[1]}", "unknown", ""
    if found := re.match(r"Unknown type '(\w+)'", text):
        return f"document.{found[1]}", "unknown", ""
    return "document", "invalid", error.message


def _or_null(schema: Schema) -> Schema:
    if not schema:
        return schema
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    return {"anyOf": [schema, {"type": "null"}]}


def _strict(kind: GraphQLScalarType, wanted: Schema) -> None:
    """Lets a scalar of the schema accept as input only what it is."""
    if kind.name in ("String", "Int", "Float", "Boolean"):
        return  # graphql-core's own
    validator = compiled(wanted)

    def parse_value(value: Any) -> Any:
        # Shopify takes numbers where it answers decimals as text.
        if not validator.is_valid(str(value) if wanted is DECIMAL and isinstance(value, int | float) else value):
            raise GraphQLError(f"{kind.name} cannot represent {value!r}")
        return value

    kind.parse_value = parse_value  # type: ignore[method-assign]
