"""`python -m hivemark.worker.llamacpp`: one model by llama.cpp, under the worker start protocol.

The hive speaks with llama.cpp's own server, which asks for the token of this process: no Python stands in the
way of a token. llama.cpp runs here and nowhere else, since a file or a processor that it cannot stand ends
the process.
"""

import hashlib
import logging
import os
import platform
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hivemark.errors import HivemarkError, UnavailableError
from hivemark.gguf.facts import ModelFacts, read_facts
from hivemark.worker.parent import end_with_parent, read_line, write
from hivemark.worker.start import StartOrder, encode_failed, encode_loading, encode_ready, parse_start

CONTEXT_TOKENS_MAX: Final = 8_192
"""Of a model whose own context is longer, unless the order says otherwise: its memory is taken at once."""
_READ_BYTES: Final = 1_048_576
_QUIET: Final = -1


def main() -> int:
    """Serve until told to stop; the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    line = read_line()
    if line is None:
        return 0
    end_with_parent()
    try:
        _serve(parse_start(line))
    except HivemarkError as error:
        write(encode_failed(code=error.code, message=str(error)))
        return 1
    except Exception as error:
        logging.getLogger(__name__).exception("llama.cpp did not start")
        write(encode_failed(code="load_failed", message=f"llama.cpp: {type(error).__name__}: {error}"))
        return 1
    return 0


def _serve(order: StartOrder) -> None:
    path = Path(order.model_path)
    facts = read_facts(path)  # a file that lies about its lengths is refused before llama.cpp sees it
    digest = _digest(path)
    llama = _library()
    server = llama.Server(_parameters(llama, order, facts))
    port = urlsplit(server.listening_address).port
    assert port is not None, "the server listens on some port"
    write(encode_ready(port=port, model=_model(order, facts, digest), engine=_engine(llama, order)))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    os._exit(0)  # its threads know no orderly end that is worth waiting for


def _library() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        hint = "apt install libgomp1" if "libgomp" in str(error) else "pip install 'hivemark[llm]'"
        raise UnavailableError(
            f"llama.cpp is not there: {error}; {hint}", code="llama_cpp_missing"
        ) from error
    return xllamacpp


def _parameters(llama: Any, order: StartOrder, facts: ModelFacts) -> Any:
    parameters = llama.CommonParams()
    parameters.model.path = order.model_path
    parameters.model_alias = {order.model_name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [order.token]
    parameters.n_ctx = context_tokens(order, facts)
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = order.threads
    parameters.cpuparams_batch.n_threads = order.threads
    parameters.use_jinja = True
    parameters.embedding = True  # one server answers chats and gives vectors: the mean over a text's tokens
    parameters.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.ctx_shift = False  # a context that is full is an error, never a truncation
    parameters.ui = False
    parameters.endpoint_slots = False  # they would show the texts of others
    parameters.verbosity = _QUIET
    return parameters


def context_tokens(order: StartOrder, facts: ModelFacts) -> int:
    """What the file was trained for, within the limit of the order, or of this engine."""
    limit = order.context_tokens_max or CONTEXT_TOKENS_MAX
    return min(facts.context_tokens or limit, limit)


def _digest(path: Path) -> str:
    """Of the very bytes, read as a whole."""
    digest, total, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
            done += len(part)
            if done % (64 * _READ_BYTES) < len(part):
                write(encode_loading(bytes_done=done, bytes_total=total))
    return digest.hexdigest()


def _model(order: StartOrder, facts: ModelFacts, digest: str) -> dict[str, object]:
    return {
        "name": order.model_name,
        "weights_sha256": digest,
        "tokenizer_sha256": facts.tokenizer_sha256,
        "template_sha256": facts.template_sha256,
        "quantisation": facts.quantisation,
    }


def _engine(llama: Any, order: StartOrder) -> dict[str, object]:
    return {
        "name": "llama.cpp",
        "version": str(llama.__version__),
        "build": f"xllamacpp-{llama.__version__}",
        "backend": "cpu",
        "dtype": None,
        "architecture": platform.machine(),
        "threads": order.threads,
    }


if __name__ == "__main__":
    sys.exit(main())
