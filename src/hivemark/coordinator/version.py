"""The version this program was installed as."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("hivemark")
