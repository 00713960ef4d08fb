"""Simulated time and chance."""

from hivemark.testing.simulator.world import World


def test_events_happen_in_the_order_of_their_times_and_plans() -> None:
    world, happened = World(seed=1), list[str]()
    world.after(20, lambda: happened.append("late"))
    world.after(10, lambda: happened.append("first"))
    world.after(10, lambda: happened.append("second"))
    world.after(30, lambda: happened.append("never"))
    world.run(until_ms=25)
    assert happened == ["first", "second", "late"]
    assert world.clock.mono_ms() == 25


def test_an_event_sees_its_own_time_and_plans_more() -> None:
    world, seen = World(seed=1), list[int]()

    def event() -> None:
        seen.append(world.clock.mono_ms())
        if len(seen) < 3:
            world.after(7, event)

    world.after(7, event)
    world.run(until_ms=100)
    assert seen == [7, 14, 21]


def test_a_run_ends_when_it_is_over() -> None:
    world, count = World(seed=1), list[int]()
    world.every(1_000, lambda: count.append(1))
    world.run(until_ms=60_000, is_over=lambda: len(count) >= 3)
    assert len(count) == 3
    assert world.clock.mono_ms() == 3_000


def test_chance_is_the_same_for_the_same_seed_and_independent_between_streams() -> None:
    drawn = World(seed=5).random("a").random()
    world = World(seed=5)
    world.random("b").random()
    assert world.random("a").random() == drawn
    assert World(seed=6).random("a").random() != drawn


def test_the_story_tells_when_who_did_what() -> None:
    world = World(seed=1)
    world.after(1_500, lambda: world.note("hive-EU", "starts"))
    world.run(until_ms=2_000)
    assert world.story().split(maxsplit=2) == ["1.500", "hive-EU", "starts"]
