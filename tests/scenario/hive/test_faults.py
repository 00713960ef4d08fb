"""Workers that crash, hang and talk garbage, met by a real hive process."""

import asyncio
import sys

import pytest

from hivemark.hive.config import Worker

MODEL = "hivemark-tiny-a"

FAULTS = {
    "crash_before": ("stream", "connection_lost"),
    "crash_middle": ("stream", "connection_lost"),
    "cut": ("stream", "connection_lost"),
    "half_line": ("stream", "stream_ended"),
    "no_done": ("stream", "stream_ended"),
    "garbage_json": ("stream", "engine_garbage"),
    "garbage_shape": ("stream", "engine_garbage"),
    "garbage_utf8": ("stream", "engine_garbage"),
    "garbage_sse": ("stream", "engine_garbage"),
    "wrong_type": ("stream", "engine_garbage"),
    "huge_line": ("stream", "engine_garbage"),
    "endless": ("stream", "engine_overran"),
    "error_status": ("request", "engine_status_500"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broken_engine_is_a_typed_transient_failure_and_the_next_attempt_succeeds(
    fault, coordinator, hives
):
    await hives.scripted()
    failed = await coordinator.result(await coordinator.lease(MODEL, f"[[fault={fault}]]"))
    assert failed.outcome == "failed" and failed.failure.transient
    assert (failed.failure.stage, failed.failure.code) == FAULTS[fault]
    completed = await coordinator.result(await coordinator.lease(MODEL, "again"))
    assert completed.outcome == "completed"


@pytest.mark.parametrize(
    ("fault", "stage", "code"),
    [("hang_before", "first_token", "first_token_timeout"), ("hang_middle", "stream", "stalled")],
)
async def test_a_hanging_engine_is_ended_and_started_anew(fault, stage, code, coordinator, hives):
    hive = await hives.scripted()
    assert (await coordinator.result(await coordinator.lease(MODEL))).outcome == "completed"
    (before,) = [child.pid for child in hive.workers()]
    attempt = await coordinator.lease(
        MODEL, f"[[fault={fault}]]", first_token_timeout_s=0.6, stall_timeout_s=0.6
    )
    failed = await coordinator.result(attempt)
    assert (failed.failure.stage, failed.failure.code) == (stage, code)
    assert (failed.commitments.output is not None) == (fault == "hang_middle")
    assert (await coordinator.result(await coordinator.lease(MODEL))).outcome == "completed"
    (after,) = [child.pid for child in hive.workers()]
    assert after != before


async def test_an_engine_without_usage_completes_and_the_receipt_says_what_is_missing(coordinator, hives):
    await hives.scripted()
    receipt = await coordinator.result(await coordinator.lease(MODEL, "[[fault=no_usage]]"))
    assert receipt.outcome == "completed" and receipt.usage is None
    assert receipt.absent["usage"]


async def test_a_request_the_engine_refuses_is_a_permanent_failure_and_no_fault(coordinator, hives):
    hive = await hives.scripted()
    await coordinator.result(await coordinator.lease(MODEL))
    (before,) = [child.pid for child in hive.workers()]
    for _ in range(4):
        attempt = await coordinator.lease(MODEL, "[[fault=error_status]][[status=400]]")
        failed = await coordinator.result(attempt)
        assert failed.failure.code == "engine_status_400" and not failed.failure.transient
    assert [child.pid for child in hive.workers()] == [before]


async def test_the_whole_run_has_a_limit(coordinator, hives):
    await hives.scripted()
    attempt = await coordinator.lease(MODEL, "[[token_delay_s=0.2]][[words=60]]", run_timeout_s=1.0)
    assert (await coordinator.result(attempt)).failure.code == "run_timeout"


async def test_after_three_faults_the_model_is_withdrawn_for_a_while_and_then_offered_again(
    coordinator, hives
):
    hive = await hives.scripted()
    for _ in range(3):
        failed = await coordinator.result(await coordinator.lease(MODEL, "[[fault=crash_before]]"))
        assert failed.failure.code == "connection_lost"
    names = [model.name for model in coordinator.offers[-1].models]
    assert names == ["hivemark-tiny-b"]
    (withdrawn,) = [line for line in hive.log() if line["event"] == "model_withdrawn"]
    assert withdrawn["model"] == MODEL and "connection_lost" in withdrawn["reason"]

    count = len(coordinator.offers)
    await coordinator.wait(lambda: len(coordinator.offers) > count)
    assert MODEL in [model.name for model in coordinator.offers[-1].models]
    assert (await coordinator.result(await coordinator.lease(MODEL))).outcome == "completed"


async def test_a_lease_for_a_withdrawn_model_is_given_back(coordinator, hives):
    await hives.scripted()
    lease = coordinator.make_lease(MODEL, "late")
    for _ in range(3):
        await coordinator.result(await coordinator.lease(MODEL, "[[fault=crash_before]]"))
    await coordinator.send(lease)
    (declined,) = await coordinator.wait(lambda: coordinator.declined)
    assert declined.attempt == lease.attempt and declined.code == "model_not_offered"


@pytest.mark.parametrize(
    ("flag", "code"), [("--fail-load", "load_failed"), ("--garbage-start", "start_protocol_broken")]
)
async def test_a_model_that_does_not_load_is_a_failure_of_stage_load(flag, code, coordinator, hives):
    hive = await hives.scripted(flag)
    failed = await coordinator.result(await coordinator.lease(MODEL))
    assert (failed.failure.stage, failed.failure.code) == ("load", code)
    assert coordinator.started == [] and hive.workers() == []


async def test_a_worker_that_read_another_file_never_serves(coordinator, hives):
    await hives.scripted("--weights-sha256", "a" * 64)
    failed = await coordinator.result(await coordinator.lease(MODEL))
    assert (failed.failure.stage, failed.failure.code) == ("load", "digest_mismatch")


async def test_a_load_has_a_limit(coordinator, hives):
    command = (sys.executable, "-m", "hivemark.testing.engine", "--worker", "--load-delay-s", "30")
    hive = await hives.scripted(worker=Worker(command=command, load_timeout_s=1.0))
    failed = await coordinator.result(await coordinator.lease(MODEL))
    assert (failed.failure.stage, failed.failure.code) == ("load", "load_timeout")
    assert hive.workers() == []


async def test_a_worker_killed_while_idle_is_replaced(coordinator, hives):
    hive = await hives.scripted()
    await coordinator.result(await coordinator.lease(MODEL))
    (worker,) = hive.workers()
    worker.kill()
    await asyncio.to_thread(worker.wait, 5)
    assert (await coordinator.result(await coordinator.lease(MODEL))).outcome == "completed"
