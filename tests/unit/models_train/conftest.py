"""The corpus generator lies outside the package: with the trainer, at the root of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "models" / "train"))
sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))
