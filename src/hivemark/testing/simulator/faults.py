"""What goes wrong in a schedule, drawn from its seed: a plan of faults, and the disk's own failures."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from hivemark.testing.simulator.engine import Moods
from hivemark.testing.simulator.hive import SimulatedHive
from hivemark.testing.simulator.network import Network, Weather
from hivemark.testing.simulator.storage import SimulatedCrash, refuse_write
from hivemark.testing.simulator.world import World

CHAOS_MS: Final = 30_000
DOWN_MS: Final = (100, 9_000)
STOPPED_MS: Final = (2_000, 24_000)
STALLED_MS: Final = (1_000, 20_000)
WALL_JUMP_MS: Final = 20_000
CUT_OFF_MS: Final = (1_000, 22_000)
FULL_MS: Final = (500, 4_000)
WRITES_BEFORE_CRASH: Final = (0, 160)


class Crashable(Protocol):
    """The coordinator, as far as faults reach it."""

    def start(self) -> None: ...
    def crash(self, why: str) -> None: ...
    def stall(self, for_ms: int) -> None: ...
    def drain(self, hive: str, for_ms: int) -> None: ...


@dataclass(slots=True)
class DiskFaults:
    """Asked at each write: whether the process ends there, or the disk is full."""

    crash_after: int | None = None
    full: bool = False
    refused: int = 0

    def __call__(self, where: str) -> None:
        if self.full and where.startswith("before"):
            self.refused += 1
            refuse_write(where)
        if self.crash_after is None:
            return
        self.crash_after -= 1
        if self.crash_after < 0:
            self.crash_after = None
            raise SimulatedCrash(where)


def draw_weather(random: Random) -> Weather:
    """From nearly calm to a storm."""
    severity = random.choice([0.0, 0.3, 1.0, 2.0])
    return Weather(
        slow=0.01 * severity,
        dropped=0.01 * severity,
        repeated=0.02 * severity,
        cut=0.01 * severity,
        half_open=0.3,
        request_lost=0.05 * severity,
        answer_lost=0.08 * severity,
        request_repeated=0.08 * severity,
    )


def draw_moods(random: Random) -> Moods:
    """How a hive's engine behaves while things go wrong."""
    return Moods(
        declines=random.choice([0.0, 0.0, 0.15]),
        fails_transiently=random.choice([0.0, 0.1, 0.3]),
        fails_for_good=random.choice([0.0, 0.0, 0.1]),
        takes_long=random.choice([0.0, 0.2, 0.5]),
    )


def plan_faults(
    world: World,
    network: Network,
    coordinator: Crashable,
    hives: Sequence[SimulatedHive],
    disk_faults: DiskFaults,
) -> None:
    """Put this seed's faults among the events of the first `CHAOS_MS`."""
    random = world.random("faults")
    network.weather = draw_weather(random)
    for hive in hives:
        hive.moods = draw_moods(random)
    faults = [
        lambda: _kill(world, random, random.choice(hives)),
        lambda: _stop(world, random, random.choice(hives)),
        lambda: _cut_off(world, random, network, random.choice(hives)),
        lambda: _leave(world, random, random.choice(hives)),
        lambda: coordinator.drain(random.choice(hives).id, random.randint(*CUT_OFF_MS)),
        lambda: coordinator.crash("killed"),
        lambda: coordinator.stall(random.randint(*STALLED_MS)),
        lambda: _put_clock_right(world, random),
        lambda: setattr(disk_faults, "crash_after", random.randint(*WRITES_BEFORE_CRASH)),
        lambda: _fill_disk(world, random, disk_faults),
    ]
    for _ in range(random.randint(0, 7)):
        world.after(random.randint(0, CHAOS_MS - 1), random.choice(faults))


def end_faults(network: Network, hives: Sequence[SimulatedHive], disk_faults: DiskFaults) -> None:
    """From now on nothing more goes wrong."""
    network.weather = Weather()
    network.partitioned.clear()
    disk_faults.full, disk_faults.crash_after = False, None
    for hive in hives:
        hive.moods = Moods()
        hive.go_on()
        if hive.core is None:
            hive.start()


def _kill(world: World, random: Random, hive: SimulatedHive) -> None:
    hive.kill()
    world.after(random.randint(*DOWN_MS), lambda: hive.start() if hive.core is None else None)


def _leave(world: World, random: Random, hive: SimulatedHive) -> None:
    hive.leave()
    world.after(random.randint(*DOWN_MS), lambda: hive.start() if hive.core is None else None)


def _put_clock_right(world: World, random: Random) -> None:
    """The wall clock jumps, for all alike; monotonic time does not."""
    jump_ms = random.randint(-WALL_JUMP_MS, WALL_JUMP_MS)
    world.note("clock", f"jumps by {jump_ms} ms")
    world.clock.set_wall(world.clock.now_ms() + jump_ms)


def _stop(world: World, random: Random, hive: SimulatedHive) -> None:
    hive.stop()
    world.after(random.randint(*STOPPED_MS), hive.go_on)


def _cut_off(world: World, random: Random, network: Network, hive: SimulatedHive) -> None:
    world.note(hive.name, "is cut off")
    network.partitioned.add(hive.name)
    world.after(random.randint(*CUT_OFF_MS), lambda: network.partitioned.discard(hive.name))


def _fill_disk(world: World, random: Random, disk_faults: DiskFaults) -> None:
    world.note("disk", "is full")
    disk_faults.full = True
    world.after(random.randint(*FULL_MS), lambda: setattr(disk_faults, "full", False))
