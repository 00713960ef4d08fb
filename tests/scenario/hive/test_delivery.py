"""Results reach the coordinator at least once, whatever happens on the way; nothing else is posted."""

import asyncio
import signal

MODEL = "hivemark-tiny-a"


async def test_a_result_is_posted_again_until_it_is_acknowledged(coordinator, hives):
    await hives.scripted()
    coordinator.answers = [500, 503, 429]
    receipt = await coordinator.result(await coordinator.lease(MODEL))
    assert receipt.outcome == "completed" and coordinator.posts == 4


async def test_a_stale_session_is_posted_again_on_the_next_epoch_and_not_before(coordinator, hives):
    await hives.scripted()
    coordinator.answers = [401]
    attempt = await coordinator.lease(MODEL)
    await coordinator.wait(lambda: coordinator.posts == 1)
    await asyncio.sleep(1.5)
    assert coordinator.posts == 1
    await coordinator.drop_link()
    await coordinator.result(attempt)
    assert coordinator.delivered[attempt].epoch == 2


async def test_a_result_that_is_refused_for_good_is_shelved_and_not_posted_again(coordinator, hives):
    hive = await hives.scripted()
    coordinator.answers = [422]
    attempt = await coordinator.lease(MODEL)
    await coordinator.wait(lambda: coordinator.posts == 1)
    await asyncio.sleep(1.5)
    assert coordinator.posts == 1
    assert [line["attempt"] for line in hive.log() if line["event"] == "result_refused"] == [attempt]


async def test_a_result_survives_sigkill_of_the_hive_and_is_delivered_by_the_next_process(coordinator, hives):
    hive = await hives.scripted()
    coordinator.answers = [503] * 50
    attempt = await coordinator.lease(MODEL)
    await coordinator.wait(lambda: coordinator.posts == 1)
    hive.signal(signal.SIGKILL)
    await hive.ended()
    coordinator.answers = []
    await hives.start(hive.home)
    await coordinator.result(attempt)
    held = coordinator.reconciled[-1].held
    assert [(item.attempt, item.finished) for item in held] == [(attempt, True)]


async def test_the_outbox_is_for_its_owner_alone_and_keeps_no_text_that_was_delivered(coordinator, hives):
    hive = await hives.scripted()
    await coordinator.result(await coordinator.lease(MODEL, "[[answer=a very private answer]]"))
    hive.signal(signal.SIGTERM)
    assert await hive.ended() == 0
    files = [path for path in hive.home.iterdir() if path.name.startswith("outbox")]
    assert files and not any(path.stat().st_mode & 0o077 for path in files)
    assert not any(b"a very private answer" in path.read_bytes() for path in files)


async def test_a_lost_link_does_not_stop_a_running_attempt(coordinator, hives):
    await hives.scripted()
    attempt = await coordinator.lease(MODEL, "[[token_delay_s=0.1]]")
    await coordinator.wait(lambda: coordinator.started)
    await coordinator.drop_link()
    receipt = await coordinator.result(attempt)
    assert receipt.outcome == "completed"
    assert [(item.attempt, item.finished) for item in coordinator.reconciled[-1].held] == [(attempt, False)]
    assert coordinator.started == [attempt, attempt]  # told once in each epoch


async def test_the_coordinator_may_be_away_for_a_while(coordinator, hives):
    await hives.scripted()
    attempt = await coordinator.lease(MODEL, "[[token_delay_s=0.05]]")
    await coordinator.wait(lambda: coordinator.started)
    await coordinator.stop()
    await asyncio.sleep(2)
    await coordinator.start()
    assert (await coordinator.result(attempt)).outcome == "completed"
    assert coordinator.posts == 1


async def worker_is_idle(hive):
    """Whether no generation goes on: the only worker uses no connection of ours any more."""
    (worker,) = hive.workers()
    return [c for c in worker.net_connections(kind="tcp") if c.status == "ESTABLISHED"] == []


async def wait_until_idle(hive):
    for _ in range(60):
        if await worker_is_idle(hive):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_dropped_attempt_ends_and_nothing_is_posted(coordinator, hives):
    hive = await hives.scripted()
    attempt = await coordinator.lease(MODEL, "[[token_delay_s=0.2]][[words=60]]")
    await coordinator.wait(lambda: coordinator.started)
    coordinator.drop.add(attempt)
    assert await wait_until_idle(hive)
    await asyncio.sleep(0.5)
    assert coordinator.posts == 0


async def test_a_cancelled_attempt_ends_the_generation_and_nothing_is_posted(coordinator, hives):
    hive = await hives.scripted()
    attempt = await coordinator.lease(MODEL, "[[fault=hang_middle]]")
    await coordinator.wait(lambda: coordinator.started)
    await coordinator.cancel(attempt)
    assert await wait_until_idle(hive)
    await asyncio.sleep(0.5)
    assert coordinator.posts == 0
    assert (await coordinator.result(await coordinator.lease(MODEL))).outcome == "completed"


async def test_slots_are_honoured_and_a_lease_beyond_them_is_given_back(coordinator, hives):
    await hives.scripted(slots=2)
    slow = "[[token_delay_s=0.3]][[words=60]]"
    first, _, third = [await coordinator.lease(MODEL, slow) for _ in range(3)]
    (declined,) = await coordinator.wait(lambda: coordinator.declined)
    assert declined.attempt == third and declined.code == "no_slot"
    await coordinator.wait(lambda: coordinator.started)
    await asyncio.sleep(0.3)
    assert coordinator.started == [first]  # one worker, one request at a time: the second waits


async def test_a_lease_whose_grant_is_for_something_else_is_not_run(coordinator, hives):
    hive = await hives.scripted()
    wrong = [{"hive": "hive_" + "a" * 26}, {"request_sha256": "0" * 64}, {"network": "other"}, {"seed": 8}]
    for changes in wrong:
        await coordinator.lease(MODEL, grant_changes=changes)
    await coordinator.lease(MODEL, grant_signature="A" * 86 + "==")
    await coordinator.wait(lambda: len(coordinator.declined) == 5)
    codes = [declined.code for declined in coordinator.declined]
    assert codes == ["grant_mismatch"] * 4 + ["signature_invalid"]
    assert hive.workers() == []


async def test_a_model_that_is_not_offered_is_never_replaced_by_another(coordinator, hives):
    await hives.scripted()
    await coordinator.lease("gpt-unknown")
    (declined,) = await coordinator.wait(lambda: coordinator.declined)
    assert declined.code == "model_not_offered"
