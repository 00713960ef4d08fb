"""What a worker answers: OpenAI's wire form, the facts of receipts, refusals by name."""

import asyncio
import json
from typing import Any

import aiohttp
import psutil

from hivemark.models_shipped import shipped

from .conftest import Worker, request, running

PSS_BYTES_MAX = 80 << 20
START_CPU_S_MAX = 3.0  # measured 0.55 s on an idle machine; a bound against gross regressions only
NAMED: dict[str, Any] = {"messages": [{"role": "user", "content": "x", "name": "y"}]}
REFUSALS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"model": "other"}, 404, "model_not_found", "model"),
    ({"surprise": 1}, 400, "unknown_parameter", "surprise"),
    (
        {"messages": [{"role": "user", "content": "x", "name": "y"}]},
        400,
        "unknown_parameter",
        "messages[0].name",
    ),
    ({"messages": []}, 400, "invalid_value", "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "invalid_type", "messages[0].role"),
    ({"temperature": "hot"}, 400, "invalid_type", "temperature"),
    ({"temperature": 3}, 400, "sampling_invalid", "temperature"),
    ({"top_p": 0}, 400, "sampling_invalid", "top_p"),
    ({"seed": -1}, 400, "sampling_invalid", "seed"),
    ({"seed": 2**64}, 400, "sampling_invalid", "seed"),
    ({"n": 2}, 400, "unsupported_parameter", "n"),
    ({"tools": [{"type": "function"}]}, 400, "unsupported_parameter", "tools"),
    ({"response_format": {"type": "json_object"}}, 400, "invalid_type", "response_format.type"),
    ({"presence_penalty": 0.5}, 400, "unsupported_parameter", "presence_penalty"),
    ({"max_tokens": 0}, 400, "sampling_invalid", "max_tokens"),
    ({"max_tokens": 512}, 400, "context_length_exceeded", "max_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, 400, "invalid_value", "max_completion_tokens"),
    ({"content": "dog " * 600}, 400, "context_length_exceeded", "messages"),
    ({"top_logprobs": 2}, 400, "invalid_value", "top_logprobs"),
    ({"stream_options": {"include_usage": True}}, 400, "invalid_value", "stream_options"),
]
NO_REQUESTS = [
    (b"", 400),
    (b"[]", 400),
    (b"{", 400),
    (b"\xff", 400),
    (b'{"model": "\\ud800"}', 400),
    (bytes(1_048_577), 413),
]


async def test_ready_names_what_answers(worker: Worker) -> None:
    ready = worker.events[-1]
    assert ready["model"]["weights_sha256"] == shipped()[0].weights_sha256
    assert ready["engine"]["threads"] == 1
    assert all(
        ready["engine"][name] for name in ("name", "version", "build", "backend", "dtype", "architecture")
    )
    loading = worker.events[:-1]
    assert [event["event"] for event in loading] == ["loading"] * len(loading)
    done = [event["bytes_done"] for event in loading]
    assert done == sorted(done) and done[0] == 0 and done[-1] > 0
    async with worker.http.get("/v1/models") as response:
        (entry,) = (await response.json())["data"]
    assert (entry["id"], entry["object"]) == ("hivemark-tiny-a", "model")
    assert entry["weights_sha256"] == shipped()[0].weights_sha256


async def test_it_is_small_and_starts_fast(worker: Worker) -> None:
    await worker.chat()
    process = psutil.Process(worker.process.pid)
    assert process.memory_full_info().pss < PSS_BYTES_MAX
    assert process.cpu_times().user < START_CPU_S_MAX


async def test_it_computes_with_the_threads_it_was_given() -> None:
    counts = []
    for threads in (1, 2):
        async with running(threads=threads) as started:
            await started.chat(max_tokens=3)
            counts.append(psutil.Process(started.process.pid).num_threads())
    assert counts[1] - counts[0] == 1


async def test_the_stream_and_the_whole_answer_are_the_same(worker: Worker) -> None:
    status, whole = await worker.chat()
    chunks = await worker.stream(stream_options={"include_usage": True})
    assert status == 200
    assert whole["object"] == "chat.completion"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    opening, *contents, closing, usage = chunks
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in contents)
    assert text == whole["choices"][0]["message"]["content"] != ""
    assert closing["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"] == whole["usage"]
    ids = [token for chunk in chunks[:-1] for token in chunk["hivemark"]["token_ids"]]
    assert ids == whole["hivemark"]["token_ids"]
    assert len(ids) == usage["usage"]["completion_tokens"]
    assert closing["hivemark"]["engine"] == worker.events[-1]["engine"]
    assert closing["hivemark"]["model"] == worker.events[-1]["model"]
    assert closing["hivemark"]["seed"] == 3


async def test_two_processes_give_the_same_bits(worker: Worker) -> None:
    async with running() as other:
        first = await worker.chat(logprobs=True, top_logprobs=2)
        second = await other.chat(logprobs=True, top_logprobs=2)
    assert first[1]["choices"] == second[1]["choices"]
    assert first[1]["hivemark"]["token_ids"] == second[1]["hivemark"]["token_ids"]


async def test_without_a_seed_one_is_drawn_and_told(worker: Worker) -> None:
    _, first = await worker.chat(seed=None)
    _, again = await worker.chat(seed=first["hivemark"]["seed"])
    assert first["choices"] == again["choices"]


async def test_logprobs_have_openais_form(worker: Worker) -> None:
    _, body = await worker.chat(max_completion_tokens=4, logprobs=True, top_logprobs=1)
    choice = body["choices"][0]
    assert "".join(each["token"] for each in choice["logprobs"]["content"]) == choice["message"]["content"]
    for each in choice["logprobs"]["content"]:
        assert bytes(each["bytes"]).decode() == each["token"]
        assert each["logprob"] <= each["top_logprobs"][0]["logprob"] <= 0
    assert choice["finish_reason"] == "length"


async def test_content_may_come_in_parts(worker: Worker) -> None:
    parts = [{"type": "text", "text": "What is 7 "}, {"type": "text", "text": "+ 5?"}]
    _, body = await worker.chat(messages=[{"role": "user", "content": parts}], temperature=0, stop="12")
    assert body["choices"][0]["message"]["content"] == "7 + 5 = "


async def test_a_refusal_names_the_member(worker: Worker) -> None:
    for members, status, code, param in REFUSALS:
        for stream in {None, not isinstance(members.get("stream_options"), dict)}:
            body = request(stream=stream or None, **members)
            async with worker.http.post("/v1/chat/completions", json=body) as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"], error["param"]) == (status, code, param), error
            assert error["type"] == "invalid_request_error"


async def test_a_body_that_is_no_request_is_refused(worker: Worker) -> None:
    for raw, status in NO_REQUESTS:
        async with worker.http.post("/v1/chat/completions", data=raw) as response:
            assert response.status == status, raw[:20]
            assert (await response.json())["error"]["message"]


async def test_nobody_without_the_token_learns_anything(worker: Worker) -> None:
    port = worker.events[-1]["port"]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
            for path in ("/health", "/v1/models", "/nowhere"):
                async with stranger.get(path, headers=headers) as response:
                    assert response.status == 401
                    assert (await response.json())["error"]["code"] == "invalid_api_key"


async def test_unknown_routes_and_methods_are_openai_errors(worker: Worker) -> None:
    async with worker.http.get("/v1/embeddings") as response:
        assert (response.status, (await response.json())["error"]["type"]) == (404, "invalid_request_error")
    async with worker.http.get("/v1/chat/completions") as response:
        assert response.status == 405


async def test_the_token_is_not_in_the_process_list(worker: Worker) -> None:
    process = psutil.Process(worker.process.pid)
    shown = json.dumps([process.cmdline(), process.environ()])
    assert "one-off" not in shown


async def test_health_runs_nothing_and_tells_the_state(worker: Worker) -> None:
    assert await worker.health() == {"status": "ok", "loaded": True, "busy": False, "queue": 0}


async def test_requests_take_turns_and_none_is_lost(worker: Worker) -> None:
    answers = await asyncio.gather(*(worker.chat(seed=seed, max_tokens=20) for seed in range(8)))
    alone = [await worker.chat(seed=seed, max_tokens=20) for seed in range(8)]
    assert [each[1]["choices"] for each in answers] == [each[1]["choices"] for each in alone]
