"""What else a provider can do: each action with a form made from its schema, and its answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.console import forms
from api.console.gateway import Answer, segment
from api.console.place import Form, Here, Place, integration, text
from api.console.rendering import page
from api.console.route import ConsoleRoute
from api.console.routes.contacts import PATIENCE_S, error_payload
from api.console.routes.integration import shown
from api.console.session import PATH
from supportly import providers
from supportly.contracts import ids
from supportly.errors import InvalidInput, NotFound, from_payload

router = APIRouter(
    prefix=f"{PATH}/accounts/{{account_id}}/integrations/{{provider}}/actions",
    route_class=ConsoleRoute,
    include_in_schema=False,
)

PREFIX: Final = "params"


@router.get("")
async def actions(request: Request, here: Here, provider: str) -> Response:
    """The list, and the form of the chosen one."""
    one = await shown(here, provider)
    listed = one.api.get("actions", [])
    name = request.query_params.get("action", "") or (listed[0]["name"] if listed else "")
    chosen = _chosen(listed, name) if listed else None
    # Parameters in the address fill the form; the schema's own names are the only ones that count.
    given = {key: value for key, value in request.query_params.items() if key != "action"}
    fields = forms.fields(chosen["params_schema"], given) if chosen else []
    return page(
        request,
        "actions.html",
        here=here,
        one=one,
        tab="actions",
        chosen=chosen,
        fields=fields,
        error=None,
        key=str(uuid.uuid4()),
    )


def _chosen(listed: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    found = next((action for action in listed if action["name"] == name), None)
    if found is None:
        raise NotFound("There is no such action.")
    return found


@router.post("/{action}")
async def run(request: Request, here: Here, provider: str, action: str, given: Form) -> Response:
    """Runs one; the form's own key keeps a writing one from happening twice."""
    listed = (await here.api.get(f"/{segment(provider)}"))["actions"]
    chosen = _chosen(listed, action)
    fields = forms.read(forms.fields(chosen["params_schema"], {}), given, PREFIX)
    body = {"action": action, "params": {one.name: one.value for one in fields if one.value is not None}}
    key = text(given, "key") if chosen["writes"] else ""
    try:
        answered = await here.api.ask("POST", f"/{segment(provider)}/action", body, wait=PATIENCE_S, key=key)
    except InvalidInput as error:
        marked, left = forms.with_errors(fields, forms.problems(error), PREFIX)
        return page(
            request,
            "action_form.html",
            status=error.status,
            here=here,
            path_of=f"{integration(here, provider)}/actions",
            chosen=chosen,
            fields=marked,
            error=error if left or not forms.problems(error) else None,
            key=str(uuid.uuid4()),
            answered=False,
        )
    return _result(request, here, provider, chosen, fields, answered)


@router.get("/{action}/{operation}")
async def outcome(request: Request, here: Here, provider: str, action: str, operation: str) -> Response:
    """What became of an action that took longer."""
    listed = (await here.api.get(f"/{segment(provider)}"))["actions"]
    chosen = _chosen(listed, action)
    found = await here.api.get(f"/operations/{segment(operation)}", wait=PATIENCE_S)
    if found["error"]:
        raise from_payload(error_payload(found["error"]))
    answered = Answer(found["result"], operation if found["status"] == "running" else "")
    return _result(request, here, provider, chosen, [], answered)


def _result(
    request: Request,
    here: Place,
    provider: str,
    chosen: Mapping[str, Any],
    fields: list[forms.Field],
    answered: Answer,
) -> Response:
    operation = answered.pending or str((answered.body or {}).get("operation_id") or "")
    path_of = f"{integration(here, provider)}/actions"
    return page(
        request,
        "pending.html" if answered.pending else "action_form.html",
        here=here,
        again=f"{path_of}/{chosen['name']}/{answered.pending}",
        title=providers.get(provider).title,
        workflow=here.workflow(ids.action(here.account_id, provider, operation)) if operation else "",
        path_of=path_of,
        chosen=chosen,
        fields=fields or forms.fields(chosen["params_schema"], {}),
        error=None,
        key=str(uuid.uuid4()),
        answered=True,
        result=answered.body,
    )
