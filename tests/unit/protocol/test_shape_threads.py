"""A type that several threads meet for the first time at once must not end the process.

Without the lock in `shape.to_shape` this ends by SIGSEGV within a few rounds (msgspec 0.22), so it runs in a
process of its own.
"""

import subprocess
import sys
import textwrap

PROGRAM = """
    import sys, threading
    from typing import Annotated
    import msgspec
    from hivemark.protocol.shape import to_shape

    sys.setswitchinterval(1e-6)

    def fresh_type():
        class Inner(msgspec.Struct, frozen=True):
            name: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", max_length=64)] | None
            parts: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()

        class Outer(msgspec.Struct, frozen=True):
            inner: Inner
            count: Annotated[int, msgspec.Meta(ge=0)]

        return Outer

    for _ in range(400):
        shape, start = fresh_type(), threading.Barrier(4)

        def meet():
            start.wait()
            to_shape({"inner": {"name": "a"}, "count": 1}, shape)

        threads = [threading.Thread(target=meet) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
"""


def test_four_threads_may_meet_a_type_at_once() -> None:
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    run = subprocess.run(program, capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
