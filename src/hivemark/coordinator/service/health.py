"""Whether what the coordinator stands on answers: cached probes with their age; asking starts no work."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hivemark.errors import HivemarkError

FRESH_MS: Final = 5_000
_DETAIL_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of one probe; `failure` is None when it passed."""

    at_ms: int
    failure: str | None


class Health:
    """Probes by name; each runs at most once in `FRESH_MS`, by whoever asks first."""

    def __init__(self, probes: Mapping[str, Callable[[], None]]) -> None:
        self._probes = dict(probes)
        self._known: dict[str, Probe] = {}
        self._noted: dict[str, str] = {}
        self._lock = threading.Lock()

    def check(self, *, now_ms: int) -> Mapping[str, Probe]:
        """Every probe's last outcome; those older than `FRESH_MS` are run again first."""
        with self._lock:
            for name, probe in self._probes.items():
                known = self._known.get(name)
                if known is None or now_ms - known.at_ms >= FRESH_MS:
                    self._known[name] = Probe(at_ms=now_ms, failure=_run(probe))
            return {
                name: Probe(at_ms=probe.at_ms, failure=probe.failure or self._noted.get(name))
                for name, probe in self._known.items()
            }

    def note(self, name: str, failure: Exception | None) -> None:
        """What a loop last met with what `name` stands for; stands until it is noted again."""
        with self._lock:
            if failure is None:
                self._noted.pop(name, None)
            else:
                self._noted[name] = _described(failure)


def _run(probe: Callable[[], None]) -> str | None:
    try:
        probe()
    except (HivemarkError, OSError) as error:
        return _described(error)
    return None


def _described(error: Exception) -> str:
    """What failed, and what a person can do about it."""
    if not isinstance(error, HivemarkError):
        return f"{type(error).__name__}: {error}"[:_DETAIL_CHARACTERS]
    advice = f"; {error.hint}" if error.hint else ""
    return f"{error.code}: {error}{advice}"[:_DETAIL_CHARACTERS]
