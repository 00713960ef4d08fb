"""The network of the demo: a coordinator and three hives as children of this command, in one folder."""

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from hivemark.api.joinlink import parse_join_link
from hivemark.cli.home import Home
from hivemark.cli.programs import Child, Program, start_child
from hivemark.client.sdk import HivemarkClient
from hivemark.client.views import Hive
from hivemark.errors import DeadlineError
from hivemark.hive.enrol import enrol
from hivemark.protocol.keyfile import load_private_key

REGIONS: Final = ("US", "EU", "ASIA")
SLOTS_PER_HIVE: Final = 1
LINKED_TIMEOUT_S: Final = 30.0
POLL_PAUSE_S: Final = 0.1
# What an operator has set for a network of his own shall not reach the demo's.
FOREIGN_SETTINGS: Final = ("ADMIN_TOKENS", "OPERATOR_TOKENS", "VIEWER_TOKENS", "TRUSTED_KEYS", "DATABASE_URL")


@dataclass(slots=True)
class DemoNetwork:
    """Started when entered, gone when left, whatever happens in between."""

    home: Home
    coordinator: Child | None = None
    hives: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.home.ensure_folders()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the coordinator listens; the system chose the port."""
        assert self.coordinator is not None, "the coordinator has not been started"
        return str(self.coordinator.ready["url"])

    def client(self) -> HivemarkClient:
        """A client that signs as the home's account."""
        return HivemarkClient(self.url, account_key=load_private_key(self.home.account_key))

    def start_coordinator(self) -> None:
        """Up and listening when this returns; its first start has made keys, policy and account."""
        program = Program(
            name="coordinator",
            module="hivemark.coordinator",
            home=self.home.root,
            arguments=("--listen", "127.0.0.1:0"),
        )
        log = self.home.logs / "coordinator.log"
        self.coordinator = start_child(program, log=log, environment=_own_environment())

    def start_hives(self) -> None:
        """Enrol one hive per region by a join link of its own, and start them all at once."""
        links = asyncio.run(self._join_links())
        with ThreadPoolExecutor(len(REGIONS)) as pool:
            for started in [
                pool.submit(self._start_hive, *each) for each in zip(REGIONS, links, strict=True)
            ]:
                started.result()

    async def wait_until_linked(self, client: HivemarkClient) -> tuple[Hive, ...]:
        """The hives once all are linked and offer models; `DeadlineError` after 30 s."""
        deadline = time.monotonic() + LINKED_TIMEOUT_S
        while time.monotonic() < deadline:
            hives = await client.hives()
            if sum(hive.linked and bool(hive.models) for hive in hives) == len(REGIONS):
                return hives
            await asyncio.sleep(POLL_PAUSE_S)
        raise DeadlineError(
            f"the hives were not linked after {LINKED_TIMEOUT_S:.0f} s",
            code="hives_not_linked",
            hint=f"see {self.home.logs}",
        )

    def stop(self) -> None:
        """Hives first, so that the coordinator sees them leave; all of them are gone afterwards."""
        with ExitStack() as stack:
            if self.coordinator is not None:
                stack.callback(self.coordinator.stop)
            with ThreadPoolExecutor(len(REGIONS)) as pool:
                for child in self.hives:
                    pool.submit(child.stop)
        self.hives, self.coordinator = [], None

    async def _join_links(self) -> list[str]:
        async with self.client() as client:
            return [(await client.join_link(ttl_s=300)).link for _ in REGIONS]

    def _start_hive(self, region: str, link: str) -> None:
        home = self.home.root / "hives" / region.lower()
        enrol(
            home,
            parse_join_link(link),
            name=f"demo-{region.lower()}",
            region=region,
            slots=SLOTS_PER_HIVE,
            threads=1,
            simulated=("region",),
        )
        program = Program(name=f"hive {region}", module="hivemark.hive", home=home)
        log = self.home.logs / f"hive-{region.lower()}.log"
        self.hives.append(start_child(program, log=log, environment=_own_environment()))


def _own_environment() -> Mapping[str, str]:
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("HIVEMARK_") and name not in FOREIGN_SETTINGS
    }
