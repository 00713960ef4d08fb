"""Where things lie on this machine: the layout of HIVEMARK_HOME."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from hivemark.errors import InvalidError

DEFAULT_URL: Final = "http://127.0.0.1:8090"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds everything; removing it removes everything. Only its owner may look inside."""

    root: Path

    @property
    def keys(self) -> Path:
        """Private keys, each in its own file with mode 0400."""
        return self.root / "keys"

    @property
    def account_key(self) -> Path:
        """Who signs jobs and requests here."""
        return self.keys / "account.key"

    @property
    def api_key(self) -> Path:
        """The API key with which programs of this machine ask, for `api-keys env` and `chat`."""
        return self.root / "api-key"

    @property
    def chat_history(self) -> Path:
        """What was typed into `hivemark chat`; mode 0600."""
        return self.root / "chat-history"

    @property
    def policy(self) -> Path:
        """Whom a verification here trusts; written once."""
        return self.root / "policy"

    @property
    def config(self) -> Path:
        """Settings in TOML; this command reads `[client]`, the programs their own tables."""
        return self.root / "config.toml"

    @property
    def run(self) -> Path:
        """What runs now: pid files and the lock of `up` and `down`."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One file per program and a few older ones."""
        return self.root / "logs"

    @property
    def hive(self) -> Path:
        """The home of the hive that works on this machine."""
        return self.root / "hive"

    @property
    def authority(self) -> Path:
        """The certificate authority of the coordinator: its own here, or the one pinned by joining."""
        return self.root / "tls" / "ca.pem"

    @property
    def models(self) -> Path:
        """Pulled models; may be a link to a folder on another disk."""
        return self.root / "models"

    def ensure_folders(self) -> None:
        """Make the folders that are missing; the home and its keys are closed to others."""
        for folder in (self.root, self.keys, self.run, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def coordinator_url(self) -> str:
        """`[client] url` of the settings, else the coordinator that runs from this home, else the default."""
        return self._configured_url() or self._running_url() or DEFAULT_URL

    def public_url(self) -> str | None:
        """Where other machines reach the coordinator that runs from this home; None when they do not."""
        return self._noted("public_url")

    def _configured_url(self) -> str | None:
        try:
            table = tomllib.loads(self.config.read_text(encoding="utf-8")).get("client", {})
        except FileNotFoundError:
            return None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidError(f"{self.config} is not TOML: {error}", code="setting_invalid") from error
        url = table.get("url") if isinstance(table, dict) else None
        if url is not None and not isinstance(url, str):
            raise InvalidError("expected text", code="setting_invalid", field="client.url")
        return url

    def _running_url(self) -> str | None:
        """As the coordinator noted it at its start; after a crash this may point to where nothing answers."""
        return self._noted("url")

    def _noted(self, name: str) -> str | None:
        try:
            note = msgspec.json.decode((self.run / "coordinator.json").read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        url = note.get(name) if isinstance(note, dict) else None
        return url if isinstance(url, str) else None
