"""`python -m hivemark.testing.simulator --seed N` replays one schedule; `--seeds 1000` runs many."""

import argparse
import sys
import time

from hivemark.testing.simulator.schedule import Outcome, run_schedule


def main() -> int:
    """0 when every promise held, 1 when one was broken."""
    parser = argparse.ArgumentParser(prog="python -m hivemark.testing.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seeds", type=int, default=1, help="how many schedules (default 1)")
    parser.add_argument("--quiet", action="store_true", help="no story, also of a single schedule")
    options = parser.parse_args()
    begun_s = time.process_time()
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        outcome = run_schedule(seed)
        failed += bool(outcome.problems)
        if not options.quiet and options.seeds == 1:
            print(outcome.story)
        if outcome.problems or options.seeds == 1:
            print(_summary(outcome))
    if options.seeds > 1:
        print(f"{options.seeds} schedules, {failed} failed, {time.process_time() - begun_s:.1f} s of CPU")
    return 1 if failed else 0


def _summary(outcome: Outcome) -> str:
    head = (
        f"schedule {outcome.seed}: {outcome.jobs} jobs, {outcome.executions} executions, "
        f"{outcome.simulated_s:.0f} s simulated: {'BROKEN' if outcome.problems else 'every promise held'}"
    )
    return "\n".join([head, *(f"  {problem}" for problem in outcome.problems)])


if __name__ == "__main__":
    sys.exit(main())
