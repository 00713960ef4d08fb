"""The hive with our own worker and a shipped model: the path of one answer without any double."""

from hivemark.models_shipped import shipped

TINY_A, TINY_B = shipped()


async def test_both_shipped_models_answer_and_the_receipts_name_what_ran(coordinator, hives):
    hive = await hives.start(await hives.join(slots=2))
    await coordinator.wait(lambda: coordinator.offers)
    attempts = {model: await coordinator.lease(model.name, "What is 2 plus 3?") for model in (TINY_A, TINY_B)}
    for model, attempt in attempts.items():
        receipt = await coordinator.result(attempt, timeout_s=60)
        assert receipt.outcome == "completed", receipt.failure
        assert receipt.model.weights_sha256 == model.weights_sha256
        assert receipt.model.tokenizer_sha256 and receipt.model.quantisation == model.quantisation
        assert receipt.engine.threads == 1 and receipt.engine.build
        disclosure = coordinator.delivered[attempt].frame.disclosure
        assert disclosure.output
        assert len(disclosure.token_ids) == receipt.usage.completion_tokens
        assert receipt.times.first_token is not None
    assert len(hive.workers()) == 2
    loaded = [model.loaded for model in coordinator.offers[-1].models]
    assert loaded == [True, True]


async def test_the_same_request_twice_has_the_same_answer(coordinator, hives):
    await hives.start(await hives.join())
    await coordinator.wait(lambda: coordinator.offers)
    outputs = set()
    for _ in range(2):
        attempt = await coordinator.lease(TINY_A.name, "Tell me a story.", max_tokens=48)
        await coordinator.result(attempt, timeout_s=60)
        outputs.add(coordinator.delivered[attempt].frame.disclosure.output)
    assert len(outputs) == 1


async def test_a_prompt_beyond_the_context_is_a_permanent_failure(coordinator, hives):
    await hives.start(await hives.join())
    await coordinator.wait(lambda: coordinator.offers)
    attempt = await coordinator.lease(TINY_A.name, "word " * 2_000)
    receipt = await coordinator.result(attempt, timeout_s=60)
    assert receipt.failure.stage == "request" and not receipt.failure.transient
