# What every change passes. `just` comes with the development environment: `uv run just check`.

set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
default:
    @just --list

# Everything that reads the code without running it.
check: lint types imports lock

lint:
    ruff check .
    ruff format --check .

types:
    mypy

imports:
    lint-imports

# requirements.lock, the constraints in pyproject.toml and the installed versions agree; no host is written down.
lock:
    python tools/lock.py

# Rewrite requirements.lock and the constraints generated from it.
relock:
    uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock -q
    python tools/lock.py --write

# The default tests; `just test -m slow` runs the long ones.
test *args:
    pytest {{args}}

# A thousand seeded schedules of the whole system; `just simulate --seed 17` replays one with its trace.
simulate *args:
    python -m hivemark.testing.simulator {{args}}

# Figures as ratios to a limit measured in the same run (docs/guide/benchmarks.md).
bench name *args:
    python bench/{{name}}.py {{args}}

# Format and apply the safe fixes.
fix:
    ruff check --fix .
    ruff format .
