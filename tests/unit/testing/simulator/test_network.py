"""The simulated network does what its weather says, and nothing else."""

from dataclasses import dataclass, field

from hivemark.testing.simulator.network import REQUEST_TIMEOUT_MS, Network, Weather, Wire
from hivemark.testing.simulator.world import World


@dataclass
class Ear:
    """An end that remembers."""

    heard: list[bytes] = field(default_factory=list)
    ended: int = 0

    def received(self, text: bytes) -> None:
        self.heard.append(text)

    def disconnected(self) -> None:
        self.ended += 1


@dataclass
class Line:
    """A wire between two ears."""

    weather: Weather = field(default_factory=Weather)

    def __post_init__(self) -> None:
        self.world = World(seed=3)
        self.network = Network(self.world)
        self.network.weather = self.weather
        self.hive, self.coordinator = Ear(), Ear()
        self.wire = Wire(self.world, self.network, "hive-EU")
        self.wire.attach(hive=self.hive, coordinator=self.coordinator)

    def say(self, count: int) -> list[bytes]:
        frames = [b"%d" % number for number in range(count)]
        for frame in frames:
            self.wire.send("hive", frame)
        self.world.run(until_ms=self.world.clock.mono_ms() + 1_000_000)
        return frames


def test_a_calm_wire_delivers_everything_once_and_in_order() -> None:
    line = Line()
    assert line.say(50) == line.hive.heard
    assert line.coordinator.heard == []


def test_slow_frames_hold_up_those_behind_them() -> None:
    line = Line(Weather(slow=0.5))
    assert line.say(50) == line.hive.heard
    assert line.world.clock.mono_ms() > 0


def test_frames_are_dropped_and_repeated_as_the_weather_says() -> None:
    dropping, repeating = Line(Weather(dropped=0.5)), Line(Weather(repeated=0.5))
    dropping.say(100)
    repeating.say(100)
    assert 20 < len(dropping.hive.heard) < 80
    assert 120 < len(repeating.hive.heard) < 180
    assert sorted(set(repeating.hive.heard), key=int) == [b"%d" % number for number in range(100)]


def test_a_cut_is_told_to_both_ends_and_to_one_when_half_open() -> None:
    both, one = Line(Weather(cut=1.0)), Line(Weather(cut=1.0, half_open=1.0))
    both.say(3), one.say(3)
    assert (both.hive.ended, both.coordinator.ended) == (1, 1)
    assert one.hive.ended + one.coordinator.ended == 1
    assert both.hive.heard == one.hive.heard == []


def test_closing_tells_the_other_end_after_what_was_sent() -> None:
    line = Line()
    line.wire.send("hive", b"last")
    line.wire.close("coordinator")
    line.wire.send("coordinator", b"too late")
    line.world.run(until_ms=1_000)
    assert (line.hive.heard, line.hive.ended) == ([b"last"], 1)
    assert (line.coordinator.heard, line.coordinator.ended) == ([], 0)


def test_nothing_passes_a_partition() -> None:
    line = Line()
    line.network.partitioned.add("hive-EU")
    line.say(5)
    line.wire.close("coordinator")
    line.world.run(until_ms=2_000_000)
    assert (line.hive.heard, line.hive.ended) == ([], 0)


def requested(weather: Weather, *, answers: bool = True) -> tuple[list[str], int]:
    world = World(seed=3)
    network = Network(world)
    network.weather = weather
    happened: list[str] = []

    def ask() -> object:
        happened.append("asked")
        return (lambda: happened.append("answered")) if answers else None

    network.request("hive-EU", ask, lambda: happened.append("failed"))
    world.run(until_ms=100_000)
    return happened, world.clock.mono_ms()


def test_a_request_is_answered_or_fails_and_may_arrive_twice() -> None:
    assert requested(Weather())[0] == ["asked", "answered"]
    assert requested(Weather(), answers=False)[0] == ["asked", "failed"]
    assert requested(Weather(request_lost=1.0))[0] == ["failed"]
    assert requested(Weather(answer_lost=1.0))[0] == ["asked", "failed"]
    assert requested(Weather(request_repeated=1.0))[0] == ["asked", "answered", "asked"]
    assert REQUEST_TIMEOUT_MS < 100_000
