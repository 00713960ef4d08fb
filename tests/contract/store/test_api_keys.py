"""API keys: what is held or charged under one never passes its budget, whoever asks at once."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from hivemark.coordinator.ports import ApiKey, TrustedKey
from hivemark.coordinator.store import SqlStore
from hivemark.errors import HivemarkError, PaymentRequiredError, UnauthenticatedError
from hivemark.jobs.lifecycle import ExecutionEvent

from .test_races import at_once
from .world import FAR_MS, HOLD_MICRO, World, digest


def add_key(world: World, key_id: str = "key_a", **changes: object) -> ApiKey:
    key = ApiKey(
        id=key_id,
        account=world.account,
        name="laptop",
        token_start="hm_abc",
        scopes=("inference", "read"),
        models=None,
        budget_micro=5 * HOLD_MICRO,
        spent_micro=0,
        requests_per_minute=None,
        tokens_per_minute=None,
        created_ms=5,
        expires_ms=None,
        revoked_ms=None,
        last_used_ms=None,
        account_trusted=True,
    )
    key = replace(key, **changes)  # type: ignore[arg-type]  # the test names real fields
    world.store.add_api_key(key, token_sha256=digest(f"token of {key_id}"))
    return key


def spent(store: SqlStore, key_id: str = "key_a") -> int:
    key = store.api_key(key_id)
    assert key is not None
    return key.spent_micro


def test_a_key_is_found_by_its_id_and_its_token_alone(store: SqlStore, world: World) -> None:
    key = add_key(world, models=("tiny",), requests_per_minute=60, tokens_per_minute=9_000, expires_ms=77)
    assert store.api_key("key_a") == store.api_key_of_token(digest("token of key_a")) == key
    assert store.api_key("key_b") is None
    assert store.api_key_of_token(digest("another")) is None


def test_a_token_belongs_to_one_key(world: World) -> None:
    key = add_key(world)
    with pytest.raises(HivemarkError) as refused:
        world.store.add_api_key(replace(key, id="key_b"), token_sha256=digest("token of key_a"))
    assert refused.value.code == "constraint_broken"


def test_keys_are_listed_newest_first_and_by_account(store: SqlStore, world: World) -> None:
    for key_id in ("key_a", "key_b", "key_c"):
        add_key(world, key_id)
    add_key(world, "key_d", account="acct_other", account_trusted=False)
    mine = store.api_keys(account=world.account, before=None, limit=2)
    assert [key.id for key in mine] == ["key_c", "key_b"]
    rest = store.api_keys(account=world.account, before="key_b", limit=2)
    assert [key.id for key in rest] == ["key_a"]
    everybody = store.api_keys(account=None, before=None, limit=9)
    assert [(key.id, key.account_trusted) for key in everybody][:2] == [("key_d", False), ("key_c", True)]


def test_a_revoked_key_stays_revoked_since_the_first_time(store: SqlStore, world: World) -> None:
    add_key(world)
    store.revoke_api_key("key_a", now_ms=20)
    store.revoke_api_key("key_a", now_ms=30)
    store.revoke_api_key("key_nobody", now_ms=30)
    key = store.api_key("key_a")
    assert key is not None and key.revoked_ms == 20


def test_the_last_use_only_goes_forward(store: SqlStore, world: World) -> None:
    add_key(world)
    for at_ms in (50, 40):
        store.touch_api_key("key_a", now_ms=at_ms)
    key = store.api_key("key_a")
    assert key is not None and key.last_used_ms == 50


def test_a_key_knows_when_its_account_has_lost_trust(store: SqlStore, world: World) -> None:
    add_key(world)
    store.trust(TrustedKey("second", world.account, "second", "active", added_ms=1), grant_micro=0)
    for signer, still in ((world.signer, True), ("second", False)):
        store.untrust(signer, now_ms=9)
        key = store.api_key("key_a")
        assert key is not None and key.account_trusted is still


def test_a_job_spends_what_it_may_cost_and_gets_back_what_it_did_not(store: SqlStore, world: World) -> None:
    add_key(world)
    world.submit(cells=3, api_key="key_a")
    assert spent(store) == 3 * HOLD_MICRO
    first, second, third = world.lease()
    world.finish(first, charge_micro=300)
    assert spent(store) == 2 * HOLD_MICRO + 300
    world.finish(second, ExecutionEvent.FAILED_PERMANENT, charge_micro=0)
    assert spent(store) == HOLD_MICRO + 300
    world.finish(third, charge_micro=9 * HOLD_MICRO)
    assert spent(store) == 300 + HOLD_MICRO
    assert store.balance("acct_owner")[2] == 300 + HOLD_MICRO


def test_what_will_be_tried_again_stays_spent_until_it_is_dead(store: SqlStore, world: World) -> None:
    add_key(world)
    world.submit(cells=1, api_key="key_a")
    for number in range(1, 4):
        assert spent(store) == HOLD_MICRO
        (attempt,) = world.lease(now_ms=100 * number, until_ms=1_000)
        world.lose(attempt, now_ms=100 * number)
    assert spent(store) == 0


def test_cancelling_and_the_deadline_give_back(store: SqlStore, world: World) -> None:
    add_key(world)
    job = world.submit(cells=2, api_key="key_a").job
    (first, _) = world.lease()
    world.finish(first, charge_micro=100)
    store.cancel(job, now_ms=50)
    assert spent(store) == 100
    world.submit(cells=2, api_key="key_a", deadline_ms=60)
    assert spent(store) == 100 + 2 * HOLD_MICRO
    store.expire_jobs(now_ms=61, limit=9)
    assert spent(store) == 100


def test_a_job_past_the_budget_leaves_no_trace(store: SqlStore, world: World) -> None:
    add_key(world)
    before = store.balance(world.account)
    over = world.new_job(cells=6, api_key="key_a")
    with pytest.raises(PaymentRequiredError) as refused:
        store.submit(over)
    assert refused.value.code == "budget_exhausted"
    assert "0.005000 are left" in refused.value.message
    assert store.job(over.id) is None and store.balance(world.account) == before and spent(store) == 0
    store.submit(replace(over, executions=over.executions[:5]))  # nonce and id are free; exactly the budget
    assert spent(store) == 5 * HOLD_MICRO


def test_a_balance_that_is_too_low_spends_nothing_of_the_key(store: SqlStore, world: World) -> None:
    add_key(world, account="acct_poor", account_trusted=False)
    with pytest.raises(PaymentRequiredError) as refused:
        world.submit(account="acct_poor", api_key="key_a")
    assert refused.value.code == "balance_too_low"
    assert spent(store) == 0


def test_a_key_without_budget_counts_all_the_same(store: SqlStore, world: World) -> None:
    add_key(world, budget_micro=None)
    world.submit(cells=9, api_key="key_a")
    assert spent(store) == 9 * HOLD_MICRO


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"revoked_ms": 9}, "api_key_revoked"),
        ({"expires_ms": 10}, "api_key_expired"),
        ({"id": "key_other"}, "api_key_revoked"),
    ],
)
def test_no_job_is_made_under_a_key_that_does_not_stand(
    store: SqlStore, world: World, changes: dict[str, object], code: str
) -> None:
    key = add_key(world)
    changed = replace(key, **changes)  # type: ignore[arg-type]  # as above
    if changed.id == key.id:
        store.add_api_key(replace(changed, id="key_b"), token_sha256="b")
        changed = replace(changed, id="key_b")
    with pytest.raises(UnauthenticatedError) as refused:
        world.submit(api_key=changed.id, created_ms=10, deadline_ms=FAR_MS)
    assert refused.value.code == code


def test_many_at_once_never_pass_the_budget(store: SqlStore, world: World) -> None:
    """Submissions, results and cancellations race; whatever their order, the sum stays within the budget."""
    add_key(world)
    chosen = random.Random(7)
    for _ in range(4):
        jobs = [world.new_job(cells=chosen.choice((1, 2, 3)), api_key="key_a") for _ in range(8)]
        outcomes = at_once(*[lambda job=job: submit_or_refuse(store, job) for job in jobs])
        made = [job for job, outcome in zip(jobs, outcomes, strict=True) if outcome == "made"]
        assert set(Counter(outcomes)) == {"made", "budget_exhausted"}
        assert sum(len(job.executions) for job in made) * HOLD_MICRO <= 5 * HOLD_MICRO - settled(store, world)
        ends = [lambda attempt=attempt: world.finish(attempt, charge_micro=20) for attempt in world.lease()]
        more = [world.new_job(cells=2, api_key="key_a") for _ in range(3)]
        at_once(
            *ends,
            *[lambda job=job: submit_or_refuse(store, job) for job in more],
            *[lambda job=job: store.cancel(job.id, now_ms=99) for job in made[:1]],
        )
        assert spent(store) <= 5 * HOLD_MICRO
        world.audit()
        for job in [*made, *more]:
            if store.job(job.id) is not None:
                store.cancel(job.id, now_ms=100)
        assert spent(store) == settled(store, world)


def submit_or_refuse(store: SqlStore, job: object) -> str:
    try:
        store.submit(job)  # type: ignore[arg-type]  # a NewJob
    except PaymentRequiredError as refusal:
        return refusal.code
    return "made"


def settled(store: SqlStore, world: World) -> int:
    return sum(
        job.settled_micro
        for job in store.jobs(account=world.account, public_only=False, before=None, limit=999)
    )
