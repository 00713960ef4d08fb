"""Who answers: the engine and the model, as receipts name them."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np

from hivemark.engine import Model
from hivemark.engine.tokenizer import Tokenizer
from hivemark.worker.chat_response import Answer, JsonObject


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What computes. Two engines with equal members on one machine give the same bits."""

    name: str
    version: str
    build: str
    backend: str
    dtype: str
    architecture: str
    threads: int

    @classmethod
    def of_this_process(cls, *, threads: int) -> "EngineInfo":
        """Read from the installed packages; `build` names NumPy and the BLAS inside it."""
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return cls(
            name="hivemark-engine",
            version=version("hivemark"),
            build=f"numpy-{np.__version__}+{blas['name']}-{blas['version']}",
            backend="numpy",
            dtype="float32",
            architecture=platform.machine(),
            threads=threads,
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """The `hivemark` members of answers and of the model list."""

    model_name: str
    model: JsonObject
    engine: JsonObject
    tokenizer: Tokenizer
    loaded_at_s: int

    @classmethod
    def of(cls, model: Model, engine: EngineInfo, *, now_s: int) -> "Identity":
        """The identity of `model` computed by `engine`."""
        return cls(model.info.name, asdict(model.info), asdict(engine), model.tokenizer, now_s)

    def answer(self, *, completion_id: str, created_s: int, seed: int) -> Answer:
        """The shared part of one answer."""
        facts: JsonObject = {"engine": self.engine, "model": self.model, "seed": seed}
        return Answer(completion_id, created_s, self.model_name, self.tokenizer, facts)

    def model_list(self) -> JsonObject:
        """The body of `GET /v1/models`."""
        entry = {
            "id": self.model_name,
            "object": "model",
            "created": self.loaded_at_s,
            "owned_by": "hivemark",
            "weights_sha256": self.model["weights_sha256"],
            "hivemark": self.model,
        }
        return {"object": "list", "data": [entry]}
