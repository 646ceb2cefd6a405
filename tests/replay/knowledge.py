"""Every course of a knowledge sync, its schedule, the refined tier and a change of its model."""

import asyncio
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from supportly.contracts import ids
from supportly.contracts.knowledge import (
    Counts,
    KnowledgeJob,
    KnowledgeReport,
    Refined,
    RefineJob,
    Sample,
    Stretch,
    SwitchJob,
    SwitchProgress,
)
from supportly.temporal import search_attributes
from tests.replay.stage import KNOWLEDGE, REFINEMENT, Stage, away, refused, scenario, until
from tests.scripted import Script
from workflows.knowledge_refinement import KnowledgeRefinement
from workflows.knowledge_schedule import KnowledgeSchedule
from workflows.knowledge_sync import KnowledgeSync
from workflows.model_switch import ModelSwitch

JOB = KnowledgeJob(account_id=1, provider="acme")
PAGE = Counts(seen=2, added=2)


def opened(job: Any, streams: tuple[str, ...] = ("articles",)) -> KnowledgeJob:
    return KnowledgeJob(**job).model_copy(update={"epoch": 1, "generation": 1, "streams": list(streams)})


def reported(job: Any, state: Any, **more: Any) -> KnowledgeReport:
    counts = Counts(**job["counts"])
    return KnowledgeReport(
        run_id=job["run_id"], state=state, counts=counts, failed_streams=job["failed_streams"], **more
    )


def set_up(script: Script, *, streams: tuple[str, ...] = ("articles",), **report: Any) -> None:
    script.set(
        knowledge_open=lambda job: opened(job, streams),
        knowledge_ingest=Stretch(counts=PAGE, pages=1, stream_done=True),
        knowledge_sweep=PAGE,
        knowledge_index=2,
        knowledge_finish=lambda job, state: reported(job, state, **report),
        knowledge_sample=Sample(equal=2, sampled=2),
    )


async def sync(stage: Stage, job: KnowledgeJob = JOB, **extra: Any) -> Any:
    return await stage.start(KnowledgeSync.run, job, queue=KNOWLEDGE, **extra)


@scenario()
async def sync_of_two_streams(stage: Stage, script: Script) -> None:
    set_up(script, streams=("articles", "products"))
    walked = [
        Stretch(counts=PAGE, pages=1),
        Stretch(counts=PAGE, pages=2, wait_s=0.2),
        Stretch(counts=PAGE, pages=3, stream_done=True),
    ]
    script.set(knowledge_ingest=walked)
    report = await stage.ended(await sync(stage))
    assert (report.state, report.failed_streams) == ("succeeded", {})
    assert len(script.calls("knowledge_sweep")) == 2


@scenario()
async def sync_of_nothing(stage: Stage, script: Script) -> None:
    set_up(script, streams=())
    await stage.ended(await sync(stage, JOB.model_copy(update={"trigger": "toggle"})))
    assert not script.calls("knowledge_ingest")


@scenario()
async def sync_after_hiccups(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(
        knowledge_open=[away(0.1), opened],
        knowledge_ingest=[away(0.1), Stretch(counts=PAGE, pages=1, stream_done=True)],
        knowledge_finish=[ApplicationError("away", next_retry_delay=None), reported],
    )
    await stage.ended(await sync(stage))


@scenario()
async def sync_with_held_deletions(stage: Stage, script: Script) -> None:
    set_up(script, held_deletes=12)
    assert (await stage.ended(await sync(stage))).held_deletes == 12


@scenario()
async def sync_with_records_that_failed(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_sweep=Counts(seen=3, added=2, failed=1))
    assert (await stage.ended(await sync(stage))).state == "partial"


@scenario()
async def sync_whose_first_stream_is_given_up(stage: Stage, script: Script) -> None:
    set_up(script, streams=("articles", "products"))
    script.set(
        knowledge_ingest=[
            Stretch(counts=PAGE, pages=1, stream_error="No such list."),
            Stretch(counts=PAGE, pages=2, stream_done=True),
        ]
    )
    report = await stage.ended(await sync(stage))
    assert (report.state, report.failed_streams) == ("partial", {"articles": "No such list."})


@scenario()
async def sync_whose_ingestion_fails(stage: Stage, script: Script) -> None:
    set_up(script, streams=("articles", "products"))
    script.set(
        knowledge_ingest=[refused("provider_error", 502, "Forbidden."), Stretch(counts=PAGE, pages=1, stream_done=True)]
    )
    assert (await stage.ended(await sync(stage))).failed_streams == {"articles": "Forbidden."}


@scenario()
async def sync_whose_sweep_fails(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_sweep=refused("internal_error", 500, "unforeseen KeyError"))
    assert (await stage.ended(await sync(stage))).failed_streams == {"articles": "unforeseen KeyError"}


@scenario()
async def sync_whose_connection_ends(stage: Stage, script: Script) -> None:
    set_up(script, streams=("articles", "products"))
    script.set(knowledge_ingest=[Stretch(counts=PAGE, pages=1), refused("reconnect_required", message="Again.")])
    report = await stage.ended(await sync(stage))
    assert (report.state, report.failed_streams) == ("failed", {"articles": "Again.", "products": "Again."})


@scenario()
async def sync_whose_index_fails(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_index=refused("internal_error", 500))
    assert (await stage.ended(await sync(stage))).state == "failed"


@scenario()
async def sync_without_a_connection(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_open=refused("not_connected"))
    with pytest.raises(WorkflowFailureError):
        await stage.ended(await sync(stage))


@scenario()
async def sync_without_a_figure(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_sample=refused("provider_error", 502))
    await stage.ended(await sync(stage))


@scenario()
async def sync_canceled_while_it_reads(stage: Stage, script: Script) -> None:
    set_up(script)
    reading = asyncio.Event()

    async def read(_: Any) -> Stretch:
        reading.set()
        while True:
            activity.heartbeat()
            await asyncio.sleep(0.05)

    script.set(knowledge_ingest=read)
    handle = await sync(stage)
    await reading.wait()
    await handle.cancel()
    assert (await stage.ended(handle)).state == "canceled"


@scenario()
async def sync_canceled_while_it_waits(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_ingest=Stretch(counts=PAGE, pages=1, wait_s=600))
    handle = await sync(stage)
    await until(lambda: script.calls("knowledge_ingest"))
    await asyncio.sleep(0.5)
    await handle.cancel()
    assert (await stage.ended(handle)).state == "canceled"


@scenario("skipping")
async def sync_of_a_slow_provider(stage: Stage, script: Script) -> None:
    set_up(script)
    pages = [Stretch(counts=PAGE, pages=n, wait_s=600) for n in range(1, 8)]
    script.set(knowledge_ingest=[*pages, Stretch(counts=PAGE, pages=8, stream_done=True)])
    assert (await stage.ended(await sync(stage))).failed_streams == {}


@scenario("skipping")
async def sync_without_a_page_for_an_hour(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(knowledge_ingest=Stretch(counts=PAGE, pages=1, wait_s=900))
    report = await stage.ended(await sync(stage))
    assert report.failed_streams == {"articles": "The provider gave no page for an hour."}


def database_away() -> ApplicationError:
    return refused("unavailable", 503, "The database is away.")


@scenario()
async def sync_while_the_database_is_away(stage: Stage, script: Script) -> None:
    set_up(script)
    script.set(
        knowledge_open=[database_away(), opened],
        knowledge_ingest=[database_away(), Stretch(counts=PAGE, pages=1, stream_done=True)],
        knowledge_sample=database_away(),
    )
    assert (await stage.ended(await sync(stage))).state == "succeeded"


@scenario("short")
async def sync_that_goes_on_as_new(stage: Stage, script: Script) -> None:
    set_up(script)
    pages = [Stretch(counts=PAGE, pages=n) for n in range(1, 12)]
    script.set(knowledge_ingest=[*pages, Stretch(counts=PAGE, pages=12, stream_done=True)])
    await stage.ended(await sync(stage))
    assert len([h async for h in stage.histories()]) >= 3


@scenario()
async def sync_that_wakes_the_refined_tier(stage: Stage, script: Script) -> None:
    account = 71
    set_up(script, unrefined=2)
    script.set(knowledge_refine=Refined(done=2))
    await stage.ended(await sync(stage, JOB.model_copy(update={"account_id": account})))
    stage.kept.append(ids.refinement(account))
    assert await stage.ended(stage.client.get_workflow_handle(stage.kept[-1], result_type=int)) == 2


@scenario()
async def sync_that_tells_the_refined_tier(stage: Stage, script: Script) -> None:
    account, go_on = 72, asyncio.Event()

    async def read(_: Any) -> Refined:
        await go_on.wait()
        return Refined(done=1)

    set_up(script, unrefined=2)
    script.set(knowledge_refine=read)
    running = await stage.start(
        KnowledgeRefinement.run,
        RefineJob(account_id=account),
        workflow_id=ids.refinement(account),
        queue=REFINEMENT,
    )
    await until(lambda: script.calls("knowledge_refine"))
    await stage.ended(await sync(stage, JOB.model_copy(update={"account_id": account})))
    go_on.set()
    assert await stage.ended(running) == 2  # it looked again


async def scheduled(stage: Stage, job: KnowledgeJob) -> Any:
    return await stage.start(
        KnowledgeSchedule.run,
        job,
        queue=KNOWLEDGE,
        search_attributes=search_attributes(job.account_id, job.provider),
    )


@scenario()
async def schedule_starts_the_sync(stage: Stage, script: Script) -> None:
    set_up(script)
    job = KnowledgeJob(account_id=73, provider="acme", trigger="schedule", full=False)
    assert await stage.ended(await scheduled(stage, job))
    stage.kept.append(ids.knowledge(73, "acme"))
    await stage.ended(stage.client.get_workflow_handle(stage.kept[-1]))


@scenario()
async def schedule_finds_a_sync_under_way(stage: Stage, script: Script) -> None:
    set_up(script)
    go_on = asyncio.Event()

    async def read(_: Any) -> Stretch:
        await go_on.wait()
        return Stretch(counts=PAGE, pages=1, stream_done=True)

    script.set(knowledge_ingest=read)
    job = KnowledgeJob(account_id=74, provider="acme", trigger="schedule", full=False)
    running = await stage.start(KnowledgeSync.run, job, workflow_id=ids.knowledge(74, "acme"), queue=KNOWLEDGE)
    await until(lambda: script.calls("knowledge_ingest"))
    assert not await stage.ended(await scheduled(stage, job))
    go_on.set()
    await stage.ended(running)


async def refine(stage: Stage) -> Any:
    return await stage.start(KnowledgeRefinement.run, RefineJob(account_id=1), queue=REFINEMENT)


@scenario()
async def refining_in_stretches(stage: Stage, script: Script) -> None:
    script.set(
        knowledge_refine=[away(0.1), Refined(done=16, left=4), Refined(done=0, left=4, wait_s=0.3), Refined(done=4)]
    )
    assert await stage.ended(await refine(stage)) == 20


@scenario("short")
async def refining_that_goes_on_as_new(stage: Stage, script: Script) -> None:
    script.set(knowledge_refine=[Refined(done=16, left=left) for left in range(9, -1, -1)])
    assert await stage.ended(await refine(stage)) == 160


BUILDING = SwitchProgress(model=4, name="another", chunks=10, lacking=3)
READY = BUILDING.model_copy(update={"lacking": 0})
SERVING = READY.model_copy(update={"state": "serving"})
ABANDONED = BUILDING.model_copy(update={"state": "abandoned"})


async def switch(stage: Stage) -> Any:
    return await stage.start(ModelSwitch.run, SwitchJob(spec="openai:another"), queue=REFINEMENT)


@scenario("skipping")
async def switch_that_comes_to_serve(stage: Stage, script: Script) -> None:
    script.set(model_begin=BUILDING, model_spread=[BUILDING, BUILDING, READY, READY], model_turn=[READY, SERVING])
    assert (await stage.ended(await switch(stage))).state == "serving"


@scenario()
async def switch_given_up(stage: Stage, script: Script) -> None:
    script.set(model_begin=BUILDING, model_spread=BUILDING, model_abandon=ABANDONED)
    handle = await switch(stage)
    await until(lambda: script.calls("model_spread"))
    await handle.signal(ModelSwitch.abandon)
    assert (await stage.ended(handle)).state == "abandoned"


@scenario()
async def switch_given_up_before_it_begins(stage: Stage, script: Script) -> None:
    script.set(model_begin=BUILDING, model_abandon=ABANDONED)
    handle = await stage.start(
        ModelSwitch.run, SwitchJob(spec="openai:another"), queue=REFINEMENT, start_signal="abandon"
    )
    assert (await stage.ended(handle)).state == "abandoned"
    assert not script.calls("model_spread")


@scenario()
async def switch_refused(stage: Stage, script: Script) -> None:
    script.set(model_begin=refused("invalid_input", 422))
    with pytest.raises(WorkflowFailureError):
        await stage.ended(await switch(stage))


@scenario("short")
async def switch_that_goes_on_as_new(stage: Stage, script: Script) -> None:
    script.set(model_begin=BUILDING, model_spread=BUILDING, model_abandon=ABANDONED)
    handle = await switch(stage)
    await until(lambda: len(script.calls("model_spread")) >= 3, 120)
    await until(lambda: len(script.calls("model_spread")) >= 4, 120)
    await stage.client.get_workflow_handle(handle.id).signal(ModelSwitch.abandon)
    assert (await stage.ended(handle)).state == "abandoned"
