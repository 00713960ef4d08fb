"""The simulated network: connections that delay, drop and repeat frames, that are cut on both ends or on one,
and requests whose question or answer is lost.

A real TCP connection loses nothing in its middle; here it may, so that the channel's own rules are tried too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from hivemark.testing.simulator.world import World

LATENCY_MS: Final = (1, 40)
SLOW_MS: Final = (200, 14_000)
REQUEST_TIMEOUT_MS: Final = 8_000


class Fate(Enum):
    """What becomes of one frame."""

    DELIVERED = auto()
    SLOW = auto()
    DROPPED = auto()
    REPEATED = auto()
    CUT = auto()


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it is: chances per frame or request."""

    slow: float = 0.0
    dropped: float = 0.0
    repeated: float = 0.0
    cut: float = 0.0
    half_open: float = 0.0  # of cuts: one end is never told
    request_lost: float = 0.0
    answer_lost: float = 0.0
    request_repeated: float = 0.0


CALM: Final = Weather()


class Network:
    """Draws every fate and latency; `partitioned` names the hives that reach nobody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random("network")
        self.weather = CALM
        self.partitioned: set[str] = set()

    def latency_ms(self) -> int:
        return self._random.randint(*LATENCY_MS)

    def slowness_ms(self) -> int:
        return self._random.randint(*SLOW_MS)

    def fate(self) -> Fate:
        weather, drawn = self.weather, self._random.random()
        for fate, chance in (
            (Fate.SLOW, weather.slow),
            (Fate.DROPPED, weather.dropped),
            (Fate.REPEATED, weather.repeated),
            (Fate.CUT, weather.cut),
        ):
            if drawn < chance:
                return fate
            drawn -= chance
        return Fate.DELIVERED

    def happens(self, chance: float) -> bool:
        return self._random.random() < chance

    def request(
        self,
        who: str,
        ask: Callable[[], Callable[[], None] | None],
        fail: Callable[[], None],
        *,
        may_repeat: bool = True,
    ) -> None:
        """Carry one request: `ask` happens at the server and gives what then happens at the asker, or None
        when nobody answers. `fail` happens at the asker when no answer comes in time."""
        lost = who in self.partitioned or self.happens(self.weather.request_lost)
        answer_lost = self.happens(self.weather.answer_lost)

        def arrive() -> None:
            answer = ask()
            if answer is None or answer_lost or who in self.partitioned:
                self._world.after(REQUEST_TIMEOUT_MS, fail)
            else:
                self._world.after(self.latency_ms(), answer)

        if lost:
            self._world.after(REQUEST_TIMEOUT_MS, fail)
            return
        self._world.after(self.latency_ms(), arrive)
        if may_repeat and self.happens(self.weather.request_repeated):
            self._world.after(self.latency_ms() + self.slowness_ms(), lambda: _ignored(ask()))


class End(Protocol):
    """One end of a connection."""

    def received(self, text: bytes) -> None: ...
    def disconnected(self) -> None: ...


class _Lane:
    """One direction: frames arrive in the order in which they were sent."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.is_open = True
        self.free_at_ms = 0


class Wire:
    """One connection between a hive and the coordinator."""

    def __init__(self, world: World, network: Network, who: str) -> None:
        self._world = world
        self._network = network
        self._who = who
        self._lanes: dict[str, _Lane] = {}

    def attach(self, *, hive: End, coordinator: End) -> None:
        """Both ends stand; frames may travel."""
        self._lanes = {"hive": _Lane(hive), "coordinator": _Lane(coordinator)}

    def send(self, to: str, text: bytes) -> None:
        """A frame for the end of this name. What is sent on a closed connection is lost."""
        lane = self._lanes[to]
        if not lane.is_open or self._who in self._network.partitioned:
            return
        fate = self._network.fate()
        if fate is Fate.CUT:
            self._cut()
            return
        if fate is Fate.DROPPED:
            self._world.note("network", f"{self._who}: a frame for the {to} is dropped")
            return
        self._deliver(lane, text, slow=fate is Fate.SLOW)
        if fate is Fate.REPEATED:
            self._deliver(lane, text, slow=False)

    def close(self, by: str) -> None:
        """This end closes; the other is told, unless the network cannot. It may never have been open."""
        if not self._lanes:
            return
        self._lanes[by].is_open = False
        other = "hive" if by == "coordinator" else "coordinator"
        if self._who not in self._network.partitioned:
            self._tell(other)

    def _cut(self) -> None:
        half_open = self._network.happens(self._network.weather.half_open)
        told = ["hive", "coordinator"]
        if half_open:
            told.remove("hive" if self._network.happens(0.5) else "coordinator")
        self._world.note("network", f"{self._who}: cut, told: {', '.join(told)}")
        for name in self._lanes:
            if name not in told:
                self._lanes[name].free_at_ms = 1 << 60  # open as far as this end can tell, and silent
        for name in told:
            self._tell(name)

    def _tell(self, name: str) -> None:
        """The connection's end arrives after every frame that is still on its way."""
        lane = self._lanes[name]

        def end() -> None:
            if lane.is_open:
                lane.is_open = False
                lane.end.disconnected()

        self._at(lane, end, slow=False)

    def _deliver(self, lane: _Lane, text: bytes, *, slow: bool) -> None:
        def arrive() -> None:
            if lane.is_open and self._who not in self._network.partitioned:
                lane.end.received(text)

        self._at(lane, arrive, slow=slow)

    def _at(self, lane: _Lane, event: Callable[[], None], *, slow: bool) -> None:
        now_ms = self._world.clock.mono_ms()
        delay_ms = self._network.latency_ms() + (self._network.slowness_ms() if slow else 0)
        if lane.free_at_ms >= 1 << 60:
            return
        lane.free_at_ms = max(lane.free_at_ms, now_ms + delay_ms)
        self._world.after(lane.free_at_ms - now_ms, event)


def _ignored(answer: object) -> None:
    """The answer to a repeated request reaches nobody."""
