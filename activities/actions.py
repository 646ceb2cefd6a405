"""Provider actions, and how an operation that failed is put on record."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError
from temporalio import activity

from activities.calls import Calls, OpenCall
from activities.failures import READ_PATIENCE_S, translated
from activities.writes import Write, once
from supportly.contracts.actions import ActionAnswer, ActionJob, ActionResult
from supportly.contracts.operations import Conclusion, fits
from supportly.errors import InvalidInput, OutcomeUnknown, UnknownChoice
from supportly.provider import Action
from supportly.storage import operations


class ActionActivities:
    """Activities of ProviderAction, and of every workflow that ends an operation."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    @activity.defn(name="provider_action")
    async def run(self, job: ActionJob) -> ActionResult:
        """Run one action; one that writes happens once however often this is attempted."""
        provider = self.calls.provider(job.provider)
        action = provider.actions.get(job.action)
        reads = action is None or not action.writes
        with translated(patience_s=READ_PATIENCE_S if reads else None, paced=True):
            if action is None:
                raise UnknownChoice(
                    f"{provider.title} has no action `{job.action}`.", field="action", allowed=list(provider.actions)
                )
            try:
                params = action.params.model_validate(job.params)
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                field = ".".join(["params", *(str(part) for part in first["loc"])])
                raise InvalidInput(f"`{field}`: {first['msg']}", field=field) from None
            if action.writes:
                return await once(self.calls, job, "waiting", ActionResult, _write(job, action, params))
            async with self.calls.open(job.account_id, job.provider, "waiting") as opened:
                result = _result(job, await action.run(opened.provider, opened.call, params))
            await operations.finish(
                self.calls.db,
                self.calls.vault,
                job.account_id,
                job.operation_id,
                result=result.model_dump(mode="json"),
            )
            return result

    @activity.defn(name="operation_failed")
    async def fail(self, end: Conclusion) -> None:
        """Store why an operation failed, so that its answer outlives Temporal's retention."""
        with translated():
            await operations.finish(self.calls.db, self.calls.vault, end.account_id, end.operation_id, error=end.error)


def _result(job: ActionJob, answer: ActionAnswer) -> ActionResult:
    result = ActionResult(provider=job.provider, action=job.action, **answer.model_dump())
    if job.writes and not fits(result):
        # That something was written has to be told: the provider's own words stay behind, what they mean does not.
        result.raw = None
    return result


def _write(job: ActionJob, action: Action, params: BaseModel) -> Write[ActionResult]:
    async def write(opened: OpenCall, *, look_first: bool) -> ActionResult:
        if look_first and not action.keyed:
            if action.find is None:
                raise OutcomeUnknown(
                    f"{opened.provider.title} did not answer `{action.name}`, and whether it happened cannot be looked "
                    "up. It is not repeated; look there."
                )
            if found := await action.find(opened.provider, opened.call, params):
                return _result(job, found)
        return _result(job, await action.run(opened.provider, opened.call, params))

    return write
