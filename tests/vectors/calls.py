"""The chains of calls of the OpenAI endpoints: the spec commits to a body, the service keeps no text."""

import dataclasses

from hivemark.jobs.request import OpenCall, without_body
from hivemark.protocol.acceptance import Delivered
from hivemark.protocol.base64strict import encode_base64
from hivemark.protocol.bundle import Bundle, Disclosed, DisclosedOutput, DisclosedRequest
from hivemark.protocol.commitment import commit
from hivemark.protocol.jobspec import sign_jobspec
from hivemark.protocol.receipt import Failure
from hivemark.protocol.strictjson import JsonObject


def make(chain, **changes):
    """`Bundle` of a call. `chain` is the module of that name, which is loaded by its path."""
    return _Call(chain, **changes).bundle()


BODY: JsonObject = {
    "model": "hivemark-tiny",
    "messages": [{"role": "user", "content": "Where is Paris? <&> 🐝"}],
    "stream": True,
    "max_tokens": 16,
    "temperature": 0.5,
}
GIVEN_BYTES = 20


class _Call:
    def __init__(
        self,
        chain,
        *,
        endpoint: str = "chat.completions",
        signed_body: JsonObject = BODY,
        run_body: JsonObject = BODY,
        shown_body: JsonObject | None = None,
        output: str | None = None,
        is_cut: bool = False,
        with_receipt: bool = True,
        given: str | None = None,
        said_given: str | None = None,
        question=None,
        seed: int = 7,
    ) -> None:
        self.chain = chain
        self.call_salt = chain.seed_of("call salt")
        self.endpoint, self.shown_body, self.output = endpoint, shown_body, output
        self.signed = OpenCall("chat.completions", signed_body, self.call_salt)
        self.run = {
            "model": {"name": "hivemark-tiny", "weights_sha256": chain.WEIGHTS},
            "messages": [],
            "sampling": {"temperature": 0.5, "top_p": 1, "max_tokens": 16, "stop": []},
            "seed": seed,
            "question": None,
            "call": {"endpoint": endpoint, "body": run_body, "salt": encode_base64(self.call_salt)},
        }
        self.is_cut, self.with_receipt, self.question = is_cut, with_receipt, question
        self.given = given
        self.said_given = chain.OUTPUT.encode()[:GIVEN_BYTES].decode() if said_given is None else said_given

    def spec(self) -> bytes:
        value: JsonObject = {
            "id": "call-1",
            "benchmark": "openai",
            "request": {"endpoint": "chat.completions", "commitment": self.signed.commitment},
            "models": [{"name": "hivemark-tiny", "digest": self.chain.WEIGHTS}],
            "execution": {
                "seed": 7,
                "sampling": {"temperature": 0.5, "max_tokens": 16},
                "visibility": "private",
            },
            "metadata": {"on_behalf_of": "acct_vectors"},
        }
        random = self.chain.counting_random()
        return sign_jobspec(value, self.chain.SERVICE, now_ms=self.chain.NOW_MS, random=random)

    def bundle(self) -> Bundle:
        chain = self.chain
        made = chain.build_chain(
            spec=self.spec(),
            request=self.run,
            receipt_changes=self._receipt_changes(),
            acceptance_changes=self._acceptance_changes(),
            entry_salt=chain.seed_of("entry salt"),
            with_receipt=self.with_receipt,
        )
        return Bundle(
            spec=made.bundle.spec,
            entry=made.bundle.entry,
            entry_salt=made.bundle.entry_salt,
            proof=made.bundle.proof,
            disclosed=self._disclosed(),
        )

    def _receipt_changes(self) -> dict:
        good = self.chain.build_chain().receipt
        absent = {name: why for name, why in good.absent.items() if not name.startswith("question.")}
        changes: dict = {"question": self.question, "absent": absent, "seed": self.run["seed"]}
        if self.question is not None:
            changes["absent"] = good.absent
        if self.is_cut:
            failure = Failure(stage="stream", code="client_gone", message="nobody reads on", transient=False)
            changes |= {"outcome": "failed", "failure": failure, "finish_reason": None}
            changes["absent"] = {**changes["absent"], "finish_reason": "the attempt failed"}
        return changes

    def _acceptance_changes(self) -> dict:
        if not self.is_cut:
            return {}
        text = self.said_given.encode()
        delivered = Delivered(bytes=len(text), commitment=commit(self.chain.seed_of("given salt"), text))
        changes: dict = {"outcome": "cut", "delivered": delivered}
        if not self.with_receipt:
            good = self.chain.build_chain(with_receipt=False).acceptance
            changes["absent"] = {name: why for name, why in good.absent.items() if name != "delivered"}
        return changes

    def _disclosed(self) -> Disclosed:
        chain = self.chain
        given = DisclosedOutput(self.given, chain.seed_of("given salt")) if self.is_cut else None
        if not self.with_receipt:
            return Disclosed(delivered=given)
        value = without_body(self.run)
        if self.shown_body is not None:
            value = {**self.run, "call": {**self.run["call"], "body": self.shown_body}}
        return Disclosed(
            request=DisclosedRequest(value, chain.seed_of("request salt")),
            output=DisclosedOutput(self.output, chain.seed_of("output salt")),
            delivered=given,
        )


def vectors(chain) -> tuple[dict[str, Bundle], dict[str, tuple[Bundle, str]]]:
    """Good bundles and forged ones, each forged one with the code of the step that sees it."""
    cut = {"is_cut": True}
    start = chain.OUTPUT.encode()[:GIVEN_BYTES].decode()
    other: JsonObject = {**BODY, "max_tokens": 15}
    good = {
        "a call without its texts": make(chain),
        "a call with its texts": make(chain, shown_body=BODY, output=chain.OUTPUT),
        "a call that was cut off": make(chain, **cut),
        "a call that was cut off, with what was given": make(chain, **cut, given=start),
        "a call that was cut off without a receipt": make(chain, **cut, with_receipt=False, given=start),
    }
    forged = {
        "another body than was run": (make(chain, shown_body=other), "disclosure_mismatch"),
        "another body than was signed for": (
            make(chain, run_body=other, shown_body=other),
            "spec_mismatch",
        ),
        "another endpoint than was signed for": (
            make(chain, endpoint="completions", shown_body=BODY),
            "spec_mismatch",
        ),
        "another seed in a call": (make(chain, seed=8), "spec_mismatch"),
        "a question in a call": (
            make(chain, question=chain.build_chain().receipt.question),
            "spec_mismatch",
        ),
        "another answer of a call": (make(chain, output=chain.OUTPUT + "!"), "disclosure_mismatch"),
        "more than was given": (make(chain, **cut, given=start + "!"), "disclosure_mismatch"),
        "something else than was given": (
            make(chain, **cut, given=start[:-1] + "?"),
            "disclosure_mismatch",
        ),
        "given what the hive never sent": (
            make(chain, **cut, given="X" * GIVEN_BYTES, said_given="X" * GIVEN_BYTES),
            "disclosure_mismatch",
        ),
        "given, of an answer that was not cut off": (
            _with_given(chain, make(chain)),
            "disclosure_mismatch",
        ),
    }
    return good, forged


def _with_given(chain, bundle: Bundle) -> Bundle:
    shown = dataclasses.replace(bundle.disclosed, delivered=DisclosedOutput("x", chain.seed_of("given salt")))
    return dataclasses.replace(bundle, disclosed=shown)
