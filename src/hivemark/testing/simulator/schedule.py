"""One schedule: a coordinator, three hives and a few users under one seed; first trouble, then calm.

In the calm everything has to come to its end: every acknowledged job final, every receipt delivered, every
entry under the checkpoint.
"""

from dataclasses import dataclass
from typing import Final

from hivemark.client.verify import verify_bundle
from hivemark.coordinator.service.access import Reader
from hivemark.coordinator.store.store import SqlStore
from hivemark.errors import HivemarkError
from hivemark.fleet.leases import LEASE_TTL_S
from hivemark.protocol.ids import account_id
from hivemark.protocol.keys import PrivateKey
from hivemark.testing.simulator.client import SimulatedClient
from hivemark.testing.simulator.coordinator import SimulatedCoordinator
from hivemark.testing.simulator.faults import CHAOS_MS, DiskFaults, end_faults, plan_faults
from hivemark.testing.simulator.hive import SimulatedHive
from hivemark.testing.simulator.invariants import final_problems, lease_problems
from hivemark.testing.simulator.network import Network
from hivemark.testing.simulator.storage import Disk
from hivemark.testing.simulator.world import World

CALM_MS: Final = 90_000
"""Within this everything comes to its end, by what the parts do and not by the jobs' deadlines (600 s)."""

REGIONS: Final = ("US", "EU", "ASIA")
WATCH_MS: Final = 3_000
PATIENCE_MS: Final = LEASE_TTL_S * 1_000 + WATCH_MS
_CANCELS: Final = 0.15


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a schedule: broken promises, if any, and the story of how it came to them."""

    seed: int
    problems: tuple[str, ...]
    story: str
    jobs: int
    executions: int
    simulated_s: float


def run_schedule(seed: int) -> Outcome:
    """Run the schedule of this seed. What our own code raises is raised on, with seed and story noted."""
    schedule = _Schedule(seed)
    try:
        return schedule.run()
    except BaseException as error:
        error.add_note(f"{schedule.world.story()}\nschedule {seed}: replay it with `--seed {seed}`")
        raise


class _Schedule:
    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        random = self.world.random("cast")
        self._network = Network(self.world)
        self._disk = Disk()
        self._disk_faults = DiskFaults()
        self._coordinator = SimulatedCoordinator(self.world, self._disk)
        self._hives = [
            SimulatedHive(
                self.world,
                self._network,
                self._coordinator,
                name=f"hive-{region}",
                region=region,
                slots=random.randint(1, 3),
            )
            for region in REGIONS
        ]
        self._users = [PrivateKey.from_seed(random.randbytes(32)) for _ in range(2)]
        self._clients = [
            SimulatedClient(
                self.world, self._network, self._coordinator, name=f"user-{n}", key=random.choice(self._users)
            )
            for n in range(random.randint(1, 3))
        ]
        self._watched: list[str] = []
        self._disturbance = (0, 0, 0)
        self._sound_from_ms = 0
        self._random = random

    def run(self) -> Outcome:
        self._begin()
        self.world.run(until_ms=CHAOS_MS)
        self.world.note("world", "calm")
        end_faults(self._network, self._hives, self._disk_faults)
        self._coordinator.settle_down(self._hives)
        self.world.run(until_ms=CHAOS_MS + CALM_MS, is_over=self._is_over)
        self._coordinator.fsck(at_rest=True)
        problems = (*self._watched, *self._coordinator.found_by_fsck, *self._problems())
        return Outcome(
            seed=self.world.seed,
            problems=problems,
            story=self.world.story(),
            jobs=sum(client.job is not None for client in self._clients),
            executions=len(self._store().executions(job=None, public_only=False, before=None, limit=5_000)),
            simulated_s=self.world.clock.mono_ms() / 1000,
        )

    def _begin(self) -> None:
        """Everybody is known to everybody; then they start at different moments, and faults are planned."""
        self._coordinator.start()
        self._coordinator.introduce(self._hives, self._users)
        self._disk.set_fault(self._disk_faults)
        for hive in self._hives:
            self.world.after(self._random.randint(0, 1_500), hive.start)
        for client in self._clients:
            begins_ms = self._random.randint(0, 12_000)
            self.world.after(begins_ms, client.begin)
            if self._random.random() < _CANCELS:
                self.world.after(begins_ms + self._random.randint(0, 15_000), client.call_off)
        plan_faults(self.world, self._network, self._coordinator, self._hives, self._disk_faults)
        self.world.every(WATCH_MS, self._watch)

    def _watch(self) -> None:
        """What holds once the coordinator has been up and able to write for as long as its patience lasts."""
        mono_ms, now_ms = self.world.clock.mono_ms(), self.world.clock.now_ms()
        disturbance = (self._disk_faults.refused, self._coordinator.up_since_ms, now_ms - mono_ms)
        if disturbance != self._disturbance or not self._coordinator.is_up:
            self._disturbance = disturbance
            self._sound_from_ms = mono_ms + PATIENCE_MS
        if mono_ms < self._sound_from_ms:
            return
        problems = lease_problems(self._store(), [hive.id for hive in self._hives], now_ms=now_ms)
        self._watched += [f"{mono_ms / 1000:.3f} s: {problem}" for problem in problems]

    def _is_over(self) -> bool:
        if self._coordinator.services is None:
            return False
        if not all(client.is_answered for client in self._clients):
            return False
        if not all(hive.is_idle for hive in self._hives):
            return False
        jobs = self._store().jobs(account=None, public_only=False, before=None, limit=100)
        counts, log = self._store().counts(), self._store().log_state()
        return all(job.finished_ms is not None for job in jobs) and (
            counts.log_queue == 0 and log.published_size == log.size
        )

    def _problems(self) -> list[str]:
        acknowledged = [client.job for client in self._clients if client.job is not None]
        signed = {attempt: digest for hive in self._hives for attempt, digest in hive.signed.items()}
        problems = final_problems(
            self._disk, self._coordinator.policy, acknowledged=acknowledged, signed=signed
        )
        for client in self._clients:
            if client.job is None:
                problems.append(f"{client.name} has no job: {client.refused}")
        for hive in self._hives:
            if not hive.is_idle:
                problems.append(f"{hive.name} is not idle: {hive.state}")
            if hive.shelved:
                problems.append(f"{hive.name} had receipts refused: {hive.shelved}")
        return [*problems, *self._bundle_problems()]

    def _bundle_problems(self) -> list[str]:
        """One finished execution of each user verifies offline."""
        services = self._coordinator.services
        if services is None:
            return ["the coordinator is down"]
        problems = []
        for key in self._users:
            reader = Reader(account=account_id(key.public.raw))
            jobs = services.jobs.page(reader, before=None, limit=1)
            for job in jobs:
                try:
                    for bundle in list(services.jobs.bundles(job, reader))[:1]:
                        verify_bundle(bundle, self._coordinator.policy)
                except HivemarkError as error:
                    problems.append(f"a bundle of {job.id} does not verify: {error.code}: {error}")
        return problems

    def _store(self) -> SqlStore:
        return self._disk.store()
