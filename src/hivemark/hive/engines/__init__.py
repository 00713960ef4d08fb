"""What runs a model: a supervised worker process, or an OpenAI-compatible server that runs anyway."""

from hivemark.hive.engines.base import Chunk, Engine, EngineFacts

__all__ = ["Chunk", "Engine", "EngineFacts"]
