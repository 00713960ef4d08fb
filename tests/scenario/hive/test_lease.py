"""One lease after another through a real hive process with scripted workers."""

MODEL = "hivemark-tiny-a"


async def test_a_lease_becomes_a_verified_receipt(coordinator, hives):
    await hives.scripted()
    attempt = await coordinator.lease(MODEL, "name it [[answer=Paris, of course.]]")
    receipt = await coordinator.result(attempt)
    assert receipt.outcome == "completed" and receipt.finish_reason == "stop"
    assert coordinator.delivered[attempt].frame.disclosure.output == "Paris, of course."
    assert receipt.engine.name == "scripted" and receipt.region.claimed == "US"
    assert receipt.usage.completion_tokens == 3
    assert coordinator.started == [attempt]


async def test_a_noop_yields_a_receipt_without_any_worker(coordinator, hives):
    hive = await hives.scripted()
    receipt = await coordinator.result(await coordinator.lease(None))
    assert receipt.outcome == "completed" and receipt.model is None
    assert hive.workers() == []
