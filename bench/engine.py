"""Speed of the reference engine on a model file; with `--other PYTHON`, the ratio to xllamacpp there.

    python bench/engine.py [--model FILE] [--threads N] [--other /path/to/venv/bin/python]

Prints one JSON object. Medians of `--rounds` rounds: load (seconds), prefill and decode (tokens per second).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from hivemark.models_shipped import shipped
from hivemark.worker.start import thread_environment

DECODED = 256
FILLED = 240
# Runs under the other interpreter: llama.cpp's own server in one process, its own timings.
OTHER = """
import json, sys, urllib.request, xllamacpp
path, threads, filled, decoded, rounds = sys.argv[1], *map(int, sys.argv[2:])
params = xllamacpp.CommonParams()
params.model.path, params.n_parallel, params.n_ctx, params.verbosity = path, 1, 512, -1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(params)
body = {"prompt": [5] * filled, "n_predict": decoded, "temperature": 0, "ignore_eos": True}
raw = json.dumps({**body, "cache_prompt": False}).encode()
for _ in range(rounds):
    address = server.listening_address + "/completion"
    request = urllib.request.Request(address, raw, {"content-type": "application/json"})
    timings = json.load(urllib.request.urlopen(request))["timings"]
    print(json.dumps({"prefill": timings["prompt_per_second"], "decode": timings["predicted_per_second"]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=shipped()[0].path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--other", type=Path, help="an interpreter that can import xllamacpp")
    chosen = parser.parse_args()
    os.environ.update(thread_environment(chosen.threads))
    ours = measure_ours(chosen.model, rounds=chosen.rounds)
    report: dict[str, object] = {
        "model": chosen.model.name,
        "threads": chosen.threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "hivemark": ours,
        "other": None,
    }
    if chosen.other is not None:
        other = measure_other(chosen.other, chosen.model, threads=chosen.threads, rounds=chosen.rounds)
        report |= {"other": other, "ratio": {name: round(ours[name] / other[name], 3) for name in other}}
    json.dump(report, sys.stdout, indent=2)
    print()


def measure_ours(path: Path, *, rounds: int) -> dict[str, float]:
    from hivemark.engine import Sampling, load_model  # after the number of threads is set
    from hivemark.engine.sampler import sample_token

    figures: dict[str, list[float]] = {"load_s": [], "prefill": [], "decode": []}
    for _ in range(rounds):
        start = time.perf_counter()
        model = load_model(path)
        figures["load_s"].append(time.perf_counter() - start)
        session = model.session()
        start = time.perf_counter()
        logits = session.feed([5] * FILLED)
        figures["prefill"].append(FILLED / (time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(DECODED):
            logits = session.feed([sample_token(logits, Sampling(), seed=0, position=session.length)])
        figures["decode"].append(DECODED / (time.perf_counter() - start))
    return {name: round(statistics.median(values), 4) for name, values in figures.items()}


def measure_other(python: Path, path: Path, *, threads: int, rounds: int) -> dict[str, float]:
    arguments = [str(each) for each in (path, threads, FILLED, DECODED, rounds)]
    done = subprocess.run(
        [str(python), "-c", OTHER, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {name: round(statistics.median(line[name] for line in lines), 4) for name in ("prefill", "decode")}


if __name__ == "__main__":
    main()
