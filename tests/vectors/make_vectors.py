"""Writes the JSON files beside it: `python tests/vectors/make_vectors.py`.

Deterministic: a test compares what it makes with what is committed, so a changed byte of any format is seen.
Every implementation of the formats can read the files; `README.md` says what their members mean.
"""

import hashlib
import importlib.util
import json
import random
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from hivemark import jobs
from hivemark.errors import HivemarkError
from hivemark.jobs.questions import parse_question_set
from hivemark.protocol import bundle, canonical, cid, commitment, dsse, ids, keys, strictjson, times
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.jobspec import parse_jobspec, verify_jobspec
from hivemark.translog import append, checkpoint, merkle, note, policy, tiles, tlogproof

FOLDER = Path(__file__).parent
APPENDIX_B = """
    0000000000000000 8000000000000000 0000000000000001 8000000000000001 7fefffffffffffff ffefffffffffffff
    4340000000000000 c340000000000000 4430000000000000 44b52d02c7e14af5 44b52d02c7e14af6 44b52d02c7e14af7
    444b1ae4d6e2ef4e 444b1ae4d6e2ef4f 444b1ae4d6e2ef50 3eb0c6f7a0b5ed8c 3eb0c6f7a0b5ed8d 41b3de4355555553
    41b3de4355555554 41b3de4355555555 41b3de4355555556 41b3de4355555557 becbf647612f3696 43143ff3c1cb0959
"""


def load(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


chain = load("chain")
calls = load("calls")
edwards = load("edwards")


def outcome(action: Callable[[], object]) -> dict[str, str | None]:
    """The code and the field of the refusal that `action` meets; it has to meet one."""
    try:
        action()
    except HivemarkError as error:
        return {"code": error.code, "field": error.field}
    raise AssertionError("this was to be refused")


def json_vectors() -> dict:
    accepted = [
        '{"b":1.0,"a":-0,"\\u20ac":[1e-7,1E2,0.1]}',
        ' [ "\\ud83d\\udc1d" , "🐝", "\\u0000\\u001f\\"\\\\\\/" ] ',
        "9007199254740991",
        "-9007199254740991",
        "1e-400",
        "[" * 16 + "]" * 16,
        '{"\\ud83d\\ude00":1,"\\ufb33":2,"\\u00f6":3,"1":4,"\\r":5}',
        '""',
        '"\\u2028\\u202e\\u007f"',
    ]
    refused: list[bytes] = [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"9007199254740992",
        b"-9007199254740992",
        b"9007199254740992.0",
        b"1e16",
        str(2**60).encode(),
        b'"\\ud800"',
        b'["\\udc1d\\ud83d"]',
        b'{"\\udfff":1}',
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b"[" * 17 + b"]" * 17,
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b"",
        b"01",
        b"+1",
        b"1.",
        b".5",
        b"0x10",
        b"[1,]",
        b'{"a":1,}',
        b"{'a':1}",
        b'"\t"',
        b'"\\x"',
        b'"\\u12g4"',
        b"1 2",
        b"tru",
        b"\xc2\xa01",
        b'"open',
    ]
    return {
        "accepted": [
            {
                "raw": encode_base64(text.encode()),
                "canonical": canonical.encode_canonical(strictjson.parse_json(text.encode())).decode(),
            }
            for text in accepted
        ],
        "refused": [
            {"raw": encode_base64(raw), **outcome(lambda raw=raw: strictjson.parse_json(raw))}
            for raw in refused
        ],
    }


def number_vectors() -> dict:
    """Appendix B of RFC 8785, and more drawn at random."""
    appendix = APPENDIX_B.split()
    draw = random.Random(8785)
    drawn = [struct.pack(">d", draw.uniform(-1, 1) * 10 ** draw.randint(-30, 25)).hex() for _ in range(60)]
    numbers = [(hexed, struct.unpack(">d", bytes.fromhex(hexed))[0]) for hexed in appendix + drawn]
    return {"numbers": [{"ieee754": h, "text": canonical.encode_canonical(n).decode()} for h, n in numbers]}


def ed25519_vectors() -> dict:
    message = b"hivemark"
    key = chain.key_of("edge cases")
    good, public = key.sign(message), key.public.raw
    s = int.from_bytes(good[32:], "little")

    def with_s(value: int) -> bytes:
        return good[:32] + value.to_bytes(32, "little")

    torsion = edwards.small_order_points()
    cases = [
        ("an honest signature", public, message, good),
        ("the empty message", public, b"", key.sign(b"")),
        ("another message", public, b"hivemarK", good),
        ("one bit of R", public, message, bytes([good[0] ^ 1]) + good[1:]),
        ("one bit of S", public, message, good[:32] + bytes([good[32] ^ 1]) + good[33:]),
        ("S plus L", public, message, with_s(s + edwards.L)),
        (
            "S is L and R the identity",
            public,
            message,
            edwards.encode(edwards.IDENTITY) + edwards.L.to_bytes(32, "little"),
        ),
        ("too short", public, message, good[:63]),
        ("too long", public, message, good + b"\0"),
        ("a key that is no point", (2).to_bytes(32, "little"), message, good),
    ]
    # Under a key of small order, R = S·B holds whenever the challenge is a multiple of its order.
    r_point = edwards.encode(edwards.multiply(5, edwards.BASE))
    any_s = r_point + (5).to_bytes(32, "little")
    for k, point in enumerate(torsion):
        weak = edwards.encode(point)
        text = find_message(lambda m, a=weak: edwards.challenge(r_point, a, m) % 8 == 0)
        cases.append((f"a key of small order, {k} times the generator", weak, text, any_s))
    not_reduced = (edwards.P + 1).to_bytes(32, "little")
    negative_zero = (1 | 1 << 255).to_bytes(32, "little")
    cases.append(("the identity as key, y not reduced", not_reduced, message, any_s))
    cases.append(("the identity as key, negative zero", negative_zero, message, any_s))
    scalar = edwards.secret_scalar(chain.seed_of("edge cases"))
    for k, point in enumerate(
        torsion
    ):  # S·B = R + k·A holds without the small R's help only for the identity
        encoded = edwards.encode(point)
        reply = edwards.challenge(encoded, public, message) * scalar % edwards.L
        cases.append(
            (
                f"R of small order, {k} times the generator",
                public,
                message,
                encoded + reply.to_bytes(32, "little"),
            )
        )
    mixed = edwards.add(edwards.multiply(scalar, edwards.BASE), torsion[1])
    for why, wanted in (("holds with the cofactor only", False), ("holds without the cofactor too", True)):
        cases.append(mixed_order_case(f"a key with a torsion part, {why}", scalar, mixed, wanted))
    return {"cases": [ed25519_case(*case) for case in cases]}


def find_message(wanted: Callable[[bytes], bool]) -> bytes:
    return next(text for n in range(10_000) if wanted(text := b"message %d" % n))


def mixed_order_case(why: str, scalar: int, key: tuple[int, int], holds: bool) -> tuple:
    encoded, r = edwards.encode(key), 12345
    big_r = edwards.encode(edwards.multiply(r, edwards.BASE))
    message = find_message(lambda m: (edwards.challenge(big_r, encoded, m) % 8 == 0) is holds)
    s = (r + edwards.challenge(big_r, encoded, message) * scalar) % edwards.L
    return why, encoded, message, big_r + s.to_bytes(32, "little")


def ed25519_case(why: str, public: bytes, message: bytes, signature: bytes) -> dict:
    try:
        keys.PublicKey(public).verify(signature, message)
        valid = True
    except HivemarkError:
        valid = False
    return {
        "why": why,
        "public_key": public.hex(),
        "message": message.hex(),
        "signature": signature.hex(),
        "valid": valid,
    }


def encoding_vectors() -> dict:
    salt = chain.seed_of("salt")
    stamps = [0, 1, 999, chain.NOW_MS, 253_402_300_799_999]
    drawn = random.Random(1)
    big = drawn.randbytes(3_500_000)
    return {
        "times": [{"ms": ms, "text": times.format_ms(ms)} for ms in stamps],
        "rfc3339": [
            {"text": text, "ms": times.parse_rfc3339(text)}
            for text in (
                "2026-11-20T21:10:29.1239+01:00",
                "2024-02-29T00:00:00Z",
                "1969-12-31T23:59:59.5-00:30",
            )
        ],
        "rfc3339_refused": [
            "2026-11-20 20:10:29Z",
            "2026-11-20T20:10:29",
            "2026-11-20t20:10:29z",
            "2026-02-29T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T20:10:60Z",
            "2026-11-20T20:10:29.Z",
            "2026-11-20T20:10:29+01:60",
            "2026-11-20T20:10:29Z\n",
        ],
        "key_ids": [
            {
                "public_key": key.public.base64,
                "hive": ids.hive_id(key.public.raw),
                "account": ids.account_id(key.public.raw),
                "fingerprint": key.public.fingerprint,
            }
            for key in (chain.HIVE, chain.CLIENT)
        ],
        "base64_refused": ["QR==", "QQ", "QQ=", "Q Q=", "QQ==\n", "-_==", "=", "QQ==QQ=="],
        "commitments": [
            {
                "salt": encode_base64(salt),
                "content": encode_base64(c),
                "commitment": commitment.commit(salt, c),
            }
            for c in (b"", b"hello", "🐝".encode())
        ],
        "cids": [
            {"content": encode_base64(content), "raw": cid.cid_raw(content), "file": cid.cid_file(content)}
            for content in (b"", b"hello bee\n")
        ],
        "cid_of_generated_file": {
            "sha256": hashlib.sha256(big).hexdigest(),
            "bytes": len(big),
            "file": cid.cid_file(big),
        },
    }


def jobspec_vectors() -> dict:
    spec = chain.posted_spec()
    signed = parse_jobspec(spec)
    value = json.loads(spec)

    def refused(why: str, **changes: object) -> dict:
        changed = {name: member for name, member in {**value, **changes}.items() if member is not ...}
        raw = json.dumps(changed, ensure_ascii=False).encode()

        def check() -> None:
            verify_jobspec(parse_jobspec(raw))

        return {"why": why, "raw": encode_base64(raw), **outcome(check)}

    signature = value["signature"]
    return {
        "signed": {
            "raw": encode_base64(spec),
            "message": encode_base64(signed.message),
            "spec_sha256": signed.spec_sha256,
            "public_key": value["public_key"],
            "signature": signature,
        },
        "refused": [
            refused("no signature", signature=...),
            refused("no key", public_key=...),
            refused("a signature of 63 bytes", signature=encode_base64(bytes(63))),
            refused("a key of 31 bytes", public_key=encode_base64(bytes(31))),
            refused("unpadded base64", signature=signature.rstrip("=")),
            refused("one changed member", id="vectors-2"),
            refused("null is not absent", container=None),
            refused("another key", public_key=chain.HIVE.public.base64),
            refused("an unknown member", colour="red"),
            refused("an unknown member inside", execution={"sed": 7}),
            refused("no id", id=...),
            refused("an id with a space", id="a b"),
            refused("an id with a newline at its end", id="a\n"),
            refused("version 2", version="2"),
            refused("no runs", runs=0),
            refused("101 runs", runs=101),
            refused("a question twice", questions=["a", "a"]),
            refused("no model", models=[]),
            refused("33 models", models=[f"m{n}" for n in range(33)]),
            refused("seven decimals", constraints={"max_cost": "0.1234567"}),
            refused("a negative cost", constraints={"max_cost": -1}),
            refused("more regions than are named", constraints={"regions": ["EU"], "min_regions": 2}),
            refused("no timestamp", metadata={"nonce": "n"}),
            refused("no nonce", metadata={"timestamp": "2026-11-20T20:10:29Z"}),
            refused("an impossible time", metadata={"nonce": "n", "timestamp": "2026-02-30T20:10:29Z"}),
            refused("a container that would run", container={"image": "debian"}),
        ],
    }


def dsse_vectors() -> dict:
    key = chain.HIVE
    payload = '{"π":3}'.encode()
    envelope = dsse.sign_envelope(payload, key)
    value = json.loads(envelope)
    signature = value["signatures"][0]
    other_forms = {
        "white space": json.dumps(value).encode(),
        "an unknown member": canonical.encode_canonical({**value, "extra": 1}),
        "two signatures": canonical.encode_canonical({**value, "signatures": [signature, signature]}),
        "no signature": canonical.encode_canonical({**value, "signatures": []}),
        "unpadded base64": canonical.encode_canonical({**value, "payload": value["payload"].rstrip("=")}),
        "a certificate": canonical.encode_canonical({**value, "signatures": [{**signature, "cert": ""}]}),
    }
    return {
        "pae": [
            {
                "type": kind,
                "payload": encode_base64(body),
                "encoding": encode_base64(dsse.pre_authentication_encoding(kind, body)),
            }
            for kind, body in (
                ("http://example.com/HelloWorld", b"hello world"),
                ("", b""),
                ("ü", "🐝".encode()),
            )
        ],
        "envelope": {
            "raw": envelope.decode(),
            "public_key": key.public.base64,
            "sha256": hashlib.sha256(envelope).hexdigest(),
        },
        "refused": [
            {"why": why, "raw": raw.decode(), **outcome(lambda raw=raw: dsse.parse_envelope(raw))}
            for why, raw in other_forms.items()
        ],
    }


def note_vectors() -> dict:
    text = encode = checkpoint.encode_checkpoint(checkpoint.Checkpoint(chain.ORIGIN, 0, merkle.EMPTY_ROOT))
    log, witness = chain.LOG, chain.WITNESSES[0]
    signed, cosigned = note.sign_note(text, log), note.cosign(text, witness, time_s=1_700_000_000)
    unknown = note.sign_note(text, note.NoteSigner("unknown.example", chain.key_of("unknown")))
    broken = note.NoteSignature(log.name, signed.key_id, bytes(64))
    early = replace(cosigned, signature=struct.pack(">Q", 1_699_999_999) + cosigned.signature[8:])
    known = [str(log.verifier), str(witness.verifier)]
    with_blank = note.sign_note("one\n\ntwo\n", log)

    def case(why: str, signed_text: str, *signatures: note.NoteSignature) -> dict:
        raw = note.encode_note(note.Note(signed_text, signatures))
        keys_known = [note.parse_vkey(vkey) for vkey in known]
        result: dict[str, object] = {"why": why, "note": raw.decode(), "vkeys": known}
        try:
            verified = note.verify_note(note.parse_note(raw), keys_known)
        except HivemarkError as error:
            return {**result, "code": error.code}
        return {**result, "verified": [item.verifier.name for item in verified]}

    good = note.encode_note(note.Note(text, (signed,))).decode()
    malformed = [
        "",
        text,
        text + "\n",
        good[:-1],
        good.replace("— ", "- "),
        good.replace("\n\n", "\n"),
        good + "\n",
        good.replace(f" {chain.ORIGIN} ", " a+b "),
        good.replace("2026\n", "2026\x01\n"),
        good.replace("\n", "\r\n"),
    ]
    return {
        "vkeys": [
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            str(log.verifier),
            str(witness.verifier),
        ],
        "notes": [
            case("signed and cosigned", text, signed, cosigned),
            case("an unknown key is ignored", text, unknown, signed),
            case("only an unknown key", text, unknown),
            case("a known key's signature is broken", text, broken, signed),
            case("a good one after a broken one does not heal it", text, signed, broken),
            case("a cosignature moved in time", text, signed, early),
            case("the last empty line separates", "one\n\ntwo\n", with_blank),
        ],
        "malformed": malformed,
        "checkpoints": [
            {"text": encode, "origin": chain.ORIGIN, "size": 0, "root": encode_base64(merkle.EMPTY_ROOT)}
        ],
        "checkpoints_malformed": [
            "o\n1\n",
            "o\n01\n" + encode_base64(bytes(32)) + "\n",
            "o\n-1\n" + encode_base64(bytes(32)) + "\n",
            "o\n1\n" + encode_base64(bytes(31)) + "\n",
            "\n1\n" + encode_base64(bytes(32)) + "\n",
            "o\n0\n" + encode_base64(bytes(32)) + "\n",
            "o\n1\n" + encode_base64(bytes(32)),
            f"o\n{2**63}\n" + encode_base64(bytes(32)) + "\n",
        ],
    }


def merkle_vectors() -> dict:
    entries = [b"entry %d" % n for n in range(12)]
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    read = merkle.reader_of_leaves(leaves)
    roots = [merkle.root_of(leaves[:size]) for size in range(13)]
    shown = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 5), (4, 5), (6, 7), (5, 8), (10, 11), (11, 12), (0, 12)]
    inclusion = []
    for index, size in shown:
        hashes = [encode_base64(item) for item in merkle.inclusion_proof(index, size, read)]
        good = {
            "index": index,
            "size": size,
            "leaf": encode_base64(leaves[index]),
            "proof": hashes,
            "root": encode_base64(roots[size]),
        }
        inclusion.append({**good, "valid": True})
        inclusion.append({**good, "leaf": encode_base64(merkle.leaf_hash(b"other")), "valid": False})
        inclusion.append({**good, "proof": [*hashes, encode_base64(roots[1])], "valid": False})
        inclusion.append({**good, "index": size, "valid": False})
        if hashes:
            inclusion.append({**good, "proof": hashes[:-1], "valid": False})
    consistency = []
    for first, second in (
        (1, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 8),
        (3, 7),
        (6, 11),
        (8, 12),
        (11, 12),
        (12, 12),
    ):
        hashes = [encode_base64(item) for item in merkle.consistency_proof(first, second, read)]
        good = {
            "first": first,
            "first_root": encode_base64(roots[first]),
            "second": second,
            "second_root": encode_base64(roots[second]),
            "proof": hashes,
        }
        consistency.append({**good, "valid": True})
        consistency.append({**good, "first_root": encode_base64(merkle.leaf_hash(b"other")), "valid": False})
        consistency.append({**good, "second_root": encode_base64(merkle.leaf_hash(b"other")), "valid": False})
        consistency.append({**good, "proof": [*hashes, encode_base64(roots[1])], "valid": False})
        if hashes:
            consistency.append({**good, "proof": hashes[1:], "valid": False})
    return {
        "entries": [encode_base64(entry) for entry in entries],
        "roots": [encode_base64(root) for root in roots],
        "inclusion": inclusion,
        "consistency": consistency,
    }


def tile_vectors() -> dict:
    plan = append.plan_append(append.RightEdge(), [b"entry %d" % n for n in range(600)])
    refs = [
        tiles.TileRef(0, 1_234_067),
        tiles.TileRef(0, 0),
        tiles.TileRef(1, 999, 1),
        tiles.TileRef(2, 1000, 255),
        tiles.TileRef(tiles.ENTRIES, 273, 112),
        tiles.TileRef(63, 5),
    ]
    return {
        "paths": [
            {
                "level": "entries" if r.level < 0 else r.level,
                "index": r.index,
                "width": r.width,
                "path": r.path,
            }
            for r in refs
        ],
        "paths_malformed": [
            "tile/0/1",
            "tile/0/0001",
            "tile/00/001",
            "tile/64/001",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001/002",
            "tile/-1/001",
            "/tile/0/001",
            "tile/0/001\n",
        ],
        "partial_widths": [{"size": 70_000, "paths": [ref.path for ref in tiles.tiles_of(70_000)]}],
        "log": {
            "entries": 'UTF-8 of "entry <n>" for n from 0',
            "size": plan.size,
            "root": encode_base64(plan.root),
            "files": [
                {"path": f.path, "sha256": hashlib.sha256(f.content).hexdigest(), "bytes": len(f.content)}
                for f in plan.files
            ],
        },
    }


def policy_vectors() -> dict:
    good = policy.encode_policy(chain.policy_of()).decode()
    lines = good.splitlines()
    log_line, witness_line = lines[2], lines[3]
    renamed = witness_line.replace("w1", "w9")
    changed = {
        "no header": "\n".join(lines[1:]) + "\n",
        "no service key": good.replace("# hivemark-service", "# service"),
        "two service keys": good.replace(lines[1], f"{lines[1]}\n{lines[1]}"),
        "no quorum": good.replace(lines[-1], ""),
        "two quorums": good + "quorum none\n",
        "an unknown keyword": good + "trust everybody\n",
        "a name used before it is defined": good.replace(lines[-1], "group late any nobody\nquorum late"),
        "a log twice": good.replace(log_line, f"{log_line}\n{log_line}"),
        "a witness key twice": good.replace(witness_line, f"{witness_line}\n{renamed}"),
        "a member of two groups": good.replace(lines[-1], f"group more any w1\n{lines[-1]}"),
        "a threshold above its members": good.replace("witnesses 2 w1", "witnesses 4 w1"),
        "a threshold of none": good.replace("witnesses 2 w1", "witnesses 0 w1"),
        "a group named none": good.replace("group quorum-of-witnesses", "group none"),
        "a witness key as log": good.replace(log_line, "log " + witness_line.split(" ")[2]),
        "a key id that is not the key's": good.replace("witness-1.example+", "witness-1.example+0"),
        "a control character": good.replace("quorum quorum", "quorum\r quorum"),
        "no newline at the end": good[:-1],
    }
    spaced = good.replace("\nquorum ", "\n\n  # a note\n \tquorum\t ").replace(
        "witness w1 ", "witness   w1\t"
    )
    subsets = [[], ["w1"], ["w1", "w2"], ["w2", "w3"], ["w1", "w2", "w3"]]
    parsed = policy.parse_policy(good.encode())
    return {
        "policy": good,
        "fingerprint": parsed.fingerprint,
        "network": parsed.network,
        "service_key": parsed.service_key.base64,
        "quorum": [{"cosigned_by": names, "satisfied": parsed.is_satisfied_by(names)} for names in subsets],
        "same_in_other_spacing": spaced,
        "refused": [
            {
                "why": why,
                "policy": text,
                "code": outcome(lambda text=text: policy.parse_policy(text.encode()))["code"],
            }
            for why, text in changed.items()
        ],
    }


def proof_vectors() -> dict:
    good = chain.build_chain().bundle.proof
    parsed = tlogproof.parse_tlog_proof(good)
    extra = tlogproof.encode_tlog_proof(replace(parsed, extra=b"extra data"))
    malformed = {
        "another version": good.replace("@v1", "@v2"),
        "no index": good.replace("index 3\n", ""),
        "a leading zero": good.replace("index 3", "index 03"),
        "a hash of 31 bytes": good.replace("index 3\n", f"index 3\n{encode_base64(bytes(31))}\n"),
        "no checkpoint": good.split("\n\n")[0] + "\n",
        "extra after the index": good.replace("index 3\n", "index 3\nextra AA==\n"),
    }
    return {
        "proofs": [{"text": text, "index": 3, "hashes": len(parsed.hashes)} for text in (good, extra)],
        "malformed": [{"why": why, "text": text} for why, text in malformed.items()],
    }


def bundle_vectors() -> dict:
    good = chain.build_chain()
    private = chain.build_chain(entry_salt=chain.seed_of("entry salt"))
    lost = chain.build_chain(with_receipt=False)
    stranger = chain.key_of("stranger")
    question_set = (Path(jobs.__path__[0]) / "question_sets" / "basics-v1.json").read_bytes()
    published = parse_question_set(question_set)[2]
    named = {"question": published.id, "set_sha256": published.set_sha256}
    of_a_set = chain.of_a_set(published.text, **named)
    shown = good.bundle.disclosed
    proof = tlogproof.parse_tlog_proof(good.bundle.proof)
    bent = replace(proof, hashes=(bytes([proof.hashes[0][0] ^ 1]) + proof.hashes[0][1:], *proof.hashes[1:]))
    alien = note.NoteSigner(chain.ORIGIN, stranger)
    swapped = {"hive": chain.HiveRef.of(stranger.public)}
    other_network = {"network": "other"}
    edits = {
        "one byte of the answer": edit(shown, "output", text=chain.OUTPUT.replace("Paris", "Parid")),
        "one token id": edit(shown, "token_ids", value=(5, 17, 4096, 3)),
        "one member of the request": edit(shown, "request", value={**chain.REQUEST, "max_tokens": 17}),
    }
    forged = {
        **{why: (replace(good.bundle, disclosed=d), "disclosure_mismatch") for why, d in edits.items()},
        "one byte of the proof": (
            replace(good.bundle, proof=tlogproof.encode_tlog_proof(bent)),
            "inclusion_invalid",
        ),
        "the proof of another entry": (
            replace(lost.bundle, proof=good.bundle.proof),
            "inclusion_invalid",
        ),
        "a private entry without its salt": (replace(private.bundle, entry_salt=None), "inclusion_invalid"),
        "a log signed by a stranger": (chain.build_chain(log=alien).bundle, "log_unknown"),
        "too few cosignatures": (
            chain.build_chain(cosigners=chain.WITNESSES[:1]).bundle,
            "quorum_missing",
        ),
        "an acceptance signed by a stranger": (
            chain.build_chain(service_key=stranger).bundle,
            "acceptance_invalid",
        ),
        "a receipt signed by a fresh key": (
            chain.build_chain(acceptance_changes=swapped).bundle,
            "receipt_invalid",
        ),
        "another network": (
            chain.build_chain(receipt_changes=other_network, acceptance_changes=other_network).bundle,
            "network_mismatch",
        ),
        "another job in the receipt": (
            chain.build_chain(acceptance_changes={"job": "job_mine"}).bundle,
            "statements_disagree",
        ),
        "another sampling than asked for": (
            chain.build_chain(receipt_changes={"sampling": chain.Sampling(temperature=1)}).bundle,
            "spec_mismatch",
        ),
        "another seed than asked for": (
            chain.build_chain(receipt_changes={"seed": 8}).bundle,
            "spec_mismatch",
        ),
        "another region than asked for": (chain.in_region("US").bundle, "spec_mismatch"),
        "another question than was posted": (
            chain.build_chain(
                request={**chain.REQUEST, "messages": [{"role": "user", "content": "?"}]}
            ).bundle,
            "spec_mismatch",
        ),
        "another question than was published": (
            chain.of_a_set("What is the capital of Spain?", **named).bundle,
            "spec_mismatch",
        ),
        "another question than was published, without the request": (
            replace(chain.of_a_set("What is the capital of Spain?", **named).bundle, spec=None),
            "spec_mismatch",
        ),
        "a question that its set does not have": (
            chain.of_a_set(
                published.text, question="capital-france-2", set_sha256=published.set_sha256
            ).bundle,
            "spec_mismatch",
        ),
        "a question of a set said to be posted in full": (
            chain.of_a_set(published.text, question=published.id, set_sha256=None).bundle,
            "spec_mismatch",
        ),
        "other bytes than were posted": (
            replace(good.bundle, spec=good.bundle.spec + b"\n"),
            "spec_mismatch",
        ),
        "a changed request": (
            replace(good.bundle, spec=good.bundle.spec.replace(b"vectors-1", b"vectors-2")),
            "spec_invalid",
        ),
    }
    good_calls, forged_calls = calls.vectors(chain)
    forged |= forged_calls
    return {
        "policy": policy.encode_policy(good.policy).decode(),
        "question_sets": [question_set.decode()],
        "good": [
            {"why": why, "bundle": encode_bundle(item.bundle)}
            for why, item in (
                ("public", good),
                ("private", private),
                ("lost", lost),
                ("a published question", of_a_set),
            )
        ]
        + [{"why": why, "bundle": encode_bundle(item)} for why, item in good_calls.items()],
        "forged": [
            {"why": why, "bundle": encode_bundle(item), "code": code} for why, (item, code) in forged.items()
        ],
    }


def edit(shown: bundle.Disclosed, name: str, **changes: object) -> bundle.Disclosed:
    """What is disclosed, with one part of it changed."""
    return replace(shown, **{name: replace(getattr(shown, name), **changes)})


def encode_bundle(value: bundle.Bundle) -> str:
    return bundle.encode_bundle(value).decode()


FILES: dict[str, Callable[[], dict]] = {
    "json": json_vectors,
    "numbers": number_vectors,
    "ed25519": ed25519_vectors,
    "encoding": encoding_vectors,
    "jobspec": jobspec_vectors,
    "dsse": dsse_vectors,
    "notes": note_vectors,
    "merkle": merkle_vectors,
    "tiles": tile_vectors,
    "policy": policy_vectors,
    "proofs": proof_vectors,
    "bundles": bundle_vectors,
}


def render(name: str) -> str:
    """The text of one file."""
    return json.dumps(FILES[name](), ensure_ascii=True, indent=1) + "\n"


if __name__ == "__main__":
    for file_name in FILES:
        (FOLDER / f"{file_name}.json").write_text(render(file_name))
