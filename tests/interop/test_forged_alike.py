"""Whatever is done to a bundle's form, both implementations refuse it, and neither falls over."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hivemark.client.verify import verify_documents
from hivemark.translog.policy import parse_policy

from .test_javascript import VECTORS, pytestmark, run_verifier  # noqa: F401 - the mark counts here too

STORED = json.loads((VECTORS / "bundles.json").read_text())
GOOD: dict[str, Any] = json.loads(STORED["good"][0]["bundle"])
RAW: bytes = STORED["good"][0]["bundle"].encode().strip()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    bundle = copy.deepcopy(GOOD)
    change(bundle)
    return json.dumps(bundle, ensure_ascii=False).encode()


def with_note_line(line: str) -> bytes:
    return changed(lambda bundle: bundle.update(proof=bundle["proof"] + line))


UNKNOWN_SIGNATURE = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5eg=="
FORGED = {
    "a further member": changed(lambda b: b.update(x=1)),
    "a member with an escape": changed(lambda b: b.update({"\x1b[2J": 1})),
    "__proto__": RAW[:-1] + b',"__proto__":{"x":1}}',
    "twice the same member": RAW[:-1] + b',"bundle":"hivemark.dev/bundle/v1"}',
    "twice, once escaped": RAW[:-1] + b',"bu\\u006edle":"hivemark.dev/bundle/v1"}',
    "NaN": RAW[:-1] + b',"x":NaN}',
    "a byte order mark": b"\xef\xbb\xbf" + RAW,
    "more than 16 MiB": RAW[:-1] + b" " * 16_777_216 + b"}",
    "a million deep": b'{"bundle":' + b"[" * 1_000_000,
    "null": b"null",
    "a proof that is a number": changed(lambda b: b.update(proof=1)),
    "no proof": changed(lambda b: b.pop("proof")),
    "nothing disclosed, not even null": changed(lambda b: b.update(disclosed={})),
    "disclosed null": changed(lambda b: b.update(disclosed=None)),
    "disclosed text": changed(lambda b: b.update(disclosed="")),
    **{
        f"{name} is {value!r}": changed(lambda b, n=name, v=value: b["disclosed"].update({n: v}))
        for name in ("request", "output", "token_ids")
        for value in (False, 0, "", [], {}, {"salt": "", "value": 1, "text": "", "x": 1})
    },
    "101 signatures": with_note_line(f"— w.example {UNKNOWN_SIGNATURE}\n" * 100),
    **{
        f"a name with white space {ord(space):04x}": with_note_line(f"— w{space}e {UNKNOWN_SIGNATURE}\n")
        for space in "\u0085\u00a0\u1680\u2003\u2028\u3000"
    },
}
HARMLESS = {
    "an unknown signature": with_note_line(f"— w.example {UNKNOWN_SIGNATURE}\n"),
    "a name with U+FEFF, which is no white space": with_note_line(f"— w\ufeffe {UNKNOWN_SIGNATURE}\n"),
}


@pytest.mark.parametrize(("documents", "status"), [(FORGED, 3), (HARMLESS, 0)], ids=["forged", "harmless"])
def test_both_implementations_judge_alike(tmp_path: Path, documents: dict[str, bytes], status: int) -> None:
    (tmp_path / "policy.txt").write_text(STORED["policy"])
    files = [tmp_path / f"{number}.json" for number in range(len(documents))]
    for file, raw in zip(files, documents.values(), strict=True):
        file.write_bytes(raw)

    ours = verify_documents(list(documents.items()), parse_policy(STORED["policy"].encode()))
    code, theirs = run_verifier("bundle", tmp_path / "policy.txt", *files)

    assert {result.name: result.is_verified for result in ours} == dict.fromkeys(documents, status == 0)
    accepted = {Path(verdict["file"]) for verdict in theirs["verdicts"]}
    assert {why: file in accepted for why, file in zip(documents, files, strict=True)} == dict.fromkeys(
        documents, status == 0
    )
    assert code == status
