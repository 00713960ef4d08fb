"""Memory of each program when idle (proportional set size, MiB), beside the aims of the design.

    python bench/memory.py [--settle SECONDS]

Starts a home of its own in a temporary folder: coordinator, hive, and a worker after one execution.
Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

AIMS_MIB = {"hivemark.coordinator": 150, "hivemark.hive": 80, "hivemark.worker": None}
RUN = ("run", "--question", "capital-france", "--model", "hivemark-tiny-a", "--json")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settle", type=float, default=5.0)
    settle_s = parser.parse_args().settle
    with tempfile.TemporaryDirectory(prefix="hivemark-memory-") as folder:
        environment = {**os.environ, "HIVEMARK_HOME": folder}
        hivemark("up", "--listen", "127.0.0.1:0", environment=environment)
        try:
            hivemark(*RUN, environment=environment)
            time.sleep(settle_s)
            figures = measure(Path(folder))
        finally:
            hivemark("down", environment=environment)
    json.dump(figures, sys.stdout, indent=2)
    print()


def hivemark(*arguments: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "hivemark.cli", *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)


def measure(home: Path) -> dict[str, object]:
    """Every program that was started for this home, by module."""
    figures: dict[str, object] = {}
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        module = next((module for module in AIMS_MIB if module in command), None)
        if module is None or not belongs_to(process, home):
            continue
        pss_mib = process.memory_full_info().pss / 1_048_576
        aim = AIMS_MIB[module]
        ratio = None if aim is None else round(pss_mib / aim, 2)
        figures[module] = {"pss_mib": round(pss_mib, 1), "aim_mib": aim, "ratio_to_aim": ratio}
    return figures


def belongs_to(process: psutil.Process, home: Path) -> bool:
    return any(str(home) in " ".join(one.cmdline()) for one in (process, *process.parents()) if one.pid > 1)


if __name__ == "__main__":
    main()
