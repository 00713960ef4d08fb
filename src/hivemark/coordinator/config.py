"""Settings of the coordinator: defaults, then HOME/config.toml, then the environment, then flags.

They merge once, here, into a frozen value that is passed down; no other module reads the environment.
"""

import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from hivemark.errors import InvalidError

ENV_PREFIX: Final = "HIVEMARK_"
BARE_NAMES: Final = ("ADMIN_TOKENS", "OPERATOR_TOKENS", "VIEWER_TOKENS", "TRUSTED_KEYS", "DATABASE_URL")


def _listed(value: object) -> object:
    """A comma-separated text, as the environment gives lists."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_listed)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Settings(BaseModel):
    """What an operator may set; `docs/guide` names each member. Seconds are `_s`, credits are credits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    listen: str = "127.0.0.1:8090"
    listen_tls: str = ""
    tls_names: Names = ()
    database_url: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    admin_tokens: Secrets = ()
    operator_tokens: Secrets = ()
    viewer_tokens: Secrets = ()
    trusted_keys: Names = ()
    regions: Names = ("US", "EU", "ASIA")
    default_visibility: Literal["public", "private"] = "private"
    grant_credits: Annotated[int, Field(ge=0, le=9_000_000_000)] = 1_000_000
    spec_age_max_s: Annotated[float, Field(gt=0)] = 86_400.0
    spec_skew_max_s: Annotated[float, Field(ge=0)] = 300.0
    heartbeat_s: Annotated[float, Field(gt=0)] = 3.0
    lease_ttl_s: Annotated[float, Field(gt=0)] = 15.0
    first_token_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    stall_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    call_queue_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    call_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 3_600.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to bind; port 0 lets the system choose."""
        return _parse_address(self.listen, "listen")

    @property
    def tls_address(self) -> tuple[str, int] | None:
        """Where others are served by TLS, with a certificate of our own authority; None: nowhere."""
        return _parse_address(self.listen_tls, "listen_tls") if self.listen_tls else None

    @property
    def database(self) -> str:
        """The database URL, by default a SQLite file in the home."""
        return self.database_url or f"sqlite:///{self.home / 'hivemark.db'}"


def _parse_address(text: str, field: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise InvalidError(f"{text!r} is not HOST:PORT", code="setting_invalid", field=field)
    return host.strip("[]"), int(port)


def load_settings(
    home: Path, *, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The merged settings; raises `InvalidError` naming the member, never its value (it may be a secret)."""
    surroundings = os.environ if environment is None else environment
    merged = {
        **_read_file(home / "config.toml"),
        **_read_environment(surroundings),
        **{name: value for name, value in (flags or {}).items() if value is not None},
        "home": home,
    }
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidError(first["msg"], code="setting_invalid", field=field) from None
    _require_safe_address(settings)
    return settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _read_file(path: Path) -> dict[str, Any]:
    """The `[coordinator]` table; the file also holds the tables of other programs."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} is not TOML: {error}", code="setting_invalid") from error
    table = document.get("coordinator", {})
    if not isinstance(table, dict):
        raise InvalidError("expected a table", code="setting_invalid", field="coordinator")
    return table


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    bare = {name.lower(): environment[name] for name in BARE_NAMES if environment.get(name)}
    prefixed = {
        member: environment[name]
        for member in Settings.model_fields
        if member != "home" and environment.get(name := ENV_PREFIX + member.upper())
    }
    return {**bare, **prefixed}


def _require_safe_address(settings: Settings) -> None:
    """Promise 1: no bind to an address that others reach without TLS."""
    host, _ = settings.address
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise InvalidError("certificate and key go together", code="setting_invalid", field="tls_certificate")
    if is_loopback(host) or settings.tls_certificate is not None:
        return
    raise InvalidError(
        f"{host} can be reached by others, and there is no TLS",
        code="tls_required",
        field="listen",
        hint="hivemark up --listen serves others by TLS; or set tls_certificate and tls_key",
    )
