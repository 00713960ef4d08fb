"""A scripted engine: a real OpenAI-compatible server process that fails on command.

It answers, delays, crashes, hangs and talks garbage. `python -m hivemark.testing.engine` stands alone on a
port; with `--worker` it speaks the worker start protocol (docs/spec/worker.md), so a hive supervises it as
our own worker. It computes nothing: tests of answers do not belong here, only of what happens around them.
"""
