"""Results that are too large for Temporal: of what was written, the meaning is told all the same."""

import pytest
from temporalio.exceptions import ApplicationError

from activities.actions import _result
from activities.failures import ResultLimit
from supportly.contracts.actions import ActionAnswer, ActionJob
from supportly.contracts.operations import LARGEST_RESULT, fits

BIG = "x" * LARGEST_RESULT
BOTH = pytest.mark.parametrize("writes", [True, False])


def answer(raw):
    return ActionAnswer(result={"id": "7"}, raw=raw)


def job(writes):
    return ActionJob(account_id=1, provider="acme", action="a", operation_id="o", writes=writes)


def test_what_was_written_is_told_without_the_providers_own_words():
    result = _result(job(writes=True), answer({"text": BIG}))
    assert (result.result, result.raw) == ({"id": "7"}, None)
    assert fits(result)


@BOTH
def test_what_fits_stays_whole(writes):
    assert _result(job(writes), answer({"text": "short"})).raw == {"text": "short"}


@pytest.mark.parametrize("length", [10, LARGEST_RESULT - 2, LARGEST_RESULT - 1, 3 * LARGEST_RESULT])
async def test_the_limit_is_to_the_byte(length):
    class Inner:
        async def execute_activity(self, _):
            return "x" * length

    limited = ResultLimit().intercept_activity(Inner())
    if length <= LARGEST_RESULT - 2:  # two quotes
        assert await limited.execute_activity(None) == "x" * length
        return
    with pytest.raises(ApplicationError) as caught:
        await limited.execute_activity(None)
    assert (caught.value.type, caught.value.non_retryable) == ("answer_too_large", True)
    assert caught.value.details[0]["code"] == "answer_too_large"
