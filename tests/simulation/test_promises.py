"""Single promises, each in a scene of its own: what happens is chosen here, only latencies are drawn."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from hivemark.coordinator.store.tables import attempts
from hivemark.protocol.keys import PrivateKey
from hivemark.protocol.strictjson import JsonObject
from hivemark.testing.simulator.client import SimulatedClient
from hivemark.testing.simulator.coordinator import SimulatedCoordinator
from hivemark.testing.simulator.engine import Moods
from hivemark.testing.simulator.hive import SimulatedHive
from hivemark.testing.simulator.network import Network
from hivemark.testing.simulator.storage import Disk
from hivemark.testing.simulator.world import World

USER = PrivateKey.from_seed(bytes(32))


@dataclass
class Scene:
    """A coordinator and hives that are linked and have nothing to do."""

    regions: tuple[str, ...] = ("US", "EU", "ASIA")
    world: World = field(default_factory=lambda: World(seed=1))

    def __post_init__(self) -> None:
        self.network = Network(self.world)
        self.disk = Disk()
        self.coordinator = SimulatedCoordinator(self.world, self.disk)
        self.hives = [
            SimulatedHive(
                self.world, self.network, self.coordinator, name=f"hive-{number}", region=region, slots=2
            )
            for number, region in enumerate(self.regions)
        ]
        self.coordinator.start()
        self.coordinator.introduce(self.hives, [USER])
        for hive in self.hives:
            hive.start()
        self.wait(2)
        assert all(hive.is_idle for hive in self.hives), self.world.story()

    def wait(self, seconds: float) -> None:
        self.world.run(until_ms=self.world.clock.mono_ms() + int(seconds * 1000))

    def submit(self, name: str = "job", *, runs: int = 1, **constraints: Any) -> SimulatedClient:
        spec: JsonObject = {"id": name, "benchmark": "noop", "runs": runs, "constraints": constraints}
        client = SimulatedClient(self.world, self.network, self.coordinator, name=name, key=USER)
        client.begin(spec)
        return client

    def state(self, client: SimulatedClient) -> str:
        assert client.job is not None, self.world.story()
        job = self.disk.store().job(client.job)
        assert job is not None
        return str(job.state)

    def outcomes(self, hive: SimulatedHive | None = None) -> list[str | None]:
        """Of all attempts, or of one hive's, in the order of their leases."""
        rows = select(attempts.c.hive, attempts.c.outcome).order_by(attempts.c.leased_ms, attempts.c.id)
        wanted = None if hive is None else hive.id
        found = self.disk.database.read(lambda connection: connection.execute(rows).all())
        return [row.outcome for row in found if wanted in (None, row.hive)]


def test_a_job_runs_to_its_end_when_nothing_goes_wrong() -> None:
    scene = Scene()
    client = scene.submit(runs=4, regions=["US", "EU", "ASIA"])
    scene.wait(20)
    assert scene.state(client) == "completed"
    assert scene.outcomes() == ["accepted"] * 12


def test_an_idle_link_stays() -> None:
    scene = Scene()
    epochs = [hive.core.epoch for hive in scene.hives if hive.core]
    scene.wait(600)
    assert [hive.core.epoch for hive in scene.hives if hive.core] == epochs == [1, 1, 1]


def test_a_coordinator_that_was_down_costs_no_attempt() -> None:
    scene = Scene()
    for hive in scene.hives:
        hive.moods = Moods(takes_long=1.0)
    client = scene.submit(runs=2, regions=["US", "EU", "ASIA"])
    scene.wait(4)
    scene.coordinator.crash("killed", back_after_ms=20_000)
    scene.wait(60)
    assert scene.outcomes() == ["accepted"] * 6, scene.world.story()
    assert scene.state(client) == "completed"


def test_a_silent_hive_is_not_chosen() -> None:
    scene = Scene()
    silent, *others = scene.hives
    silent.stop()
    scene.wait(5.5)
    client = scene.submit(runs=6)
    scene.wait(30)
    assert scene.state(client) == "completed"
    assert scene.outcomes(silent) == []
    assert sum(len(scene.outcomes(hive)) for hive in others) == 6


def test_a_killed_hive_costs_one_lease_time_and_others_take_over() -> None:
    scene = Scene(regions=("EU", "EU"))
    killed, other = scene.hives
    for hive in scene.hives:
        hive.moods = Moods(takes_long=1.0)
    client = scene.submit(runs=4, regions=["EU"])
    scene.wait(3)
    assert scene.outcomes(killed) == [None, None]
    killed.kill()
    other.moods = Moods()
    scene.wait(25)
    assert scene.outcomes(killed) == ["lost", "lost"]
    scene.wait(30)
    assert scene.outcomes(other) == ["accepted"] * 4
    assert scene.state(client) == "completed"


def test_a_hive_stopped_past_its_lease_is_late_and_unpaid() -> None:
    scene = Scene(regions=("EU", "EU"))
    for hive in scene.hives:
        hive.moods = Moods(takes_long=1.0)
    client = scene.submit(runs=1, regions=["EU"])
    scene.wait(2.5)
    holder, rival = sorted(scene.hives, key=scene.outcomes, reverse=True)
    holder.stop()
    rival.moods = Moods()
    scene.wait(40)
    holder.go_on()
    scene.wait(20)
    assert scene.state(client) == "completed"
    assert scene.outcomes(holder) == ["lost"]
    assert "outcome='late'" in scene.world.story()
    earned = scene.disk.store().balance(f"hive:{holder.id}")
    assert earned[0] == 0


def test_the_same_post_again_is_the_same_job() -> None:
    scene = Scene()
    client = scene.submit(runs=1)
    scene.wait(2)
    again = scene.coordinator.submit(client._raw, "once-job")
    assert again == client.job
    scene.coordinator.crash("killed", back_after_ms=100)
    scene.wait(1)
    assert scene.coordinator.submit(client._raw, "once-job") == client.job


def test_a_revoked_hive_gives_up_and_its_work_goes_elsewhere() -> None:
    scene = Scene(regions=("EU", "EU"))
    revoked, other = scene.hives
    for hive in scene.hives:
        hive.moods = Moods(takes_long=1.0)
    client = scene.submit(runs=4, regions=["EU"])
    scene.wait(3)
    services = scene.coordinator.services
    assert services is not None
    services.hives.revoke(revoked.id, now_ms=scene.world.clock.now_ms())
    other.moods = Moods()
    scene.wait(90)
    assert revoked.given_up == "revoked"
    assert scene.state(client) == "completed", scene.world.story()
    assert set(scene.outcomes(revoked)) == {"lost"}
