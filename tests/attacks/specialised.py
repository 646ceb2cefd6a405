"""The OpenAPI document for one provider at a time: its own paths, and the schemas that `GET /{provider}` publishes.

The document of the service describes ten providers at once, so that a valid request may be one that a provider does not
know. In these it may not: what they call valid has to be accepted.
"""

import copy
from collections.abc import Mapping
from typing import Any

from api.bodies import NOT_BLANK

NEEDS = {
    "/contacts/{contact_id}": "contact_lookup",
    "/contacts/{contact_id}/sync": "contact_create",
    "/contacts/{contact_id}/activity": "activities",
    "/action": "actions",
    "/knowledge/toggle": "knowledge_streams",
    "/knowledge/sync": "knowledge_streams",
}
"""What an endpoint needs of a provider; without it the answer is 422 for every request, and it is left out."""
HERE = "/supportly_integrations/{provider}"


def specialised(document: Mapping[str, Any], shown: list[Mapping[str, Any]], account: int) -> dict[str, Any]:
    """`document` with the paths of each provider in place of `{provider}`; `shown` are the answers of `GET`.

    They are those of one account, whose only contact has the same number.
    """
    made = copy.deepcopy(dict(document))
    paths = made["paths"]
    made["paths"] = {}
    definitions = made["components"]["schemas"]
    for provider in shown:
        bodies = _bodies(provider)
        for path, operations in paths.items():
            prefix, found, rest = path.partition(HERE)
            if not found or (rest in NEEDS and not provider["capabilities"][NEEDS[rest]]):
                continue
            here = f"{prefix}/supportly_integrations".replace("{account_id}", str(account))
            for method, operation in operations.items():
                own = copy.deepcopy(operation)
                own["operationId"] = f"{provider['provider']}_{own['operationId']}"
                own["parameters"] = [p for p in own["parameters"] if p["name"] not in ("provider", "account_id")]
                for parameter in own["parameters"]:
                    if parameter["name"] == "contact_id":
                        parameter["schema"] = {"enum": [account]}
                for status, answer in own["responses"].items():
                    if status == "202":
                        del answer["links"]
                if body := bodies.get(f"{method} {rest}"):
                    content = own["requestBody"]["content"]["application/json"]
                    content["schema"] = _hoisted(body, definitions, provider["provider"])
                    content.pop("example", None)
                    own["requestBody"]["required"] = bool(body.get("required", True))
                made["paths"].setdefault(f"{here}/{provider['provider']}{rest}", {})[method] = own
    return made


def _bodies(provider: Mapping[str, Any]) -> dict[str, Any]:
    parts = {
        part["name"]: {"type": "string", "pattern": f"^(?i:{part['pattern']}){'' if part['required'] else '?'}$"}
        for part in provider["connect_fields"]
    }
    settings = copy.deepcopy(provider["settings_schema"])
    settings["properties"] = {
        name: {"anyOf": [schema, {"type": "null"}]} for name, schema in settings["properties"].items()
    }
    return {
        "post /connect": {
            "type": "object",
            "properties": {"replace": {"type": "boolean"}, **parts},
            "required": [part["name"] for part in provider["connect_fields"] if part["required"]],
        },
        "put /settings": {"type": "object", "properties": {"settings": settings}, "required": ["settings"]},
        "post /action": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"action": {"const": action["name"]}, "params": action["params_schema"]},
                    # Without parameters it is `{}` that counts, which an action may find too little.
                    "required": ["action", "params"],
                }
                for action in provider["actions"]
            ]
        },
        "post /contacts/{contact_id}/activity": {
            "type": "object",
            "properties": {
                "content": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": NOT_BLANK},
                "activity_type": {"enum": provider["capabilities"]["activities"]},
                "target": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 255}, {"type": "null"}]},
            },
            "required": ["content", "activity_type"],
        },
    }


def _hoisted(schema: Any, definitions: dict[str, Any], name: str) -> Any:
    """`schema` with its `$defs` among the document's own, under the provider's name."""
    if isinstance(schema, list):
        return [_hoisted(one, definitions, name) for one in schema]
    if not isinstance(schema, dict):
        return schema
    for key, one in schema.get("$defs", {}).items():
        definitions[f"{name}_{key}"] = _hoisted(one, definitions, name)
    found = {key: _hoisted(one, definitions, name) for key, one in schema.items() if key != "$defs"}
    if str(found.get("$ref", "")).startswith("#/$defs/"):
        found["$ref"] = f"#/components/schemas/{name}_{found['$ref'].removeprefix('#/$defs/')}"
    return found
