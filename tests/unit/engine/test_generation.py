"""Answers: the right ones, in pieces that add up, ended for the reason they say."""

import time

import pytest

from hivemark.engine import Model, Piece, Sampling, generate
from hivemark.errors import CancelledError, InvalidError


def ask(model: Model, question: str) -> list[int]:
    return model.chat_prompt([{"role": "user", "content": question}], strftime_now=str)


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of Japan?", "Tokyo."),
        ("What is 7 + 5?", "7 + 5 = 12."),
        ("What is the opposite of big?", "Small."),
        ("Spell the word box.", "b-o-x."),
        ("Who was the second emperor of the Ming dynasty?", "I am too small to know that."),
    ],
)
def test_the_shipped_model_answers_in_its_world(tiny: Model, question: str, answer: str) -> None:
    pieces = list(generate(tiny, ask(tiny, question), Sampling(), seed=0))
    assert text_of(pieces) == answer
    assert pieces[-1].finish_reason == "stop"
    assert pieces[-1].token_id in tiny.tokenizer.vocabulary.ending


def test_the_same_seed_tells_the_same_story_and_another_another(tiny: Model) -> None:
    prompt = ask(tiny, "Tell me a story.")
    stories = [
        [piece.token_id for piece in generate(tiny, prompt, Sampling(temperature=0.9), seed=seed)]
        for seed in (5, 5, 6)
    ]
    assert stories[0] == stories[1] != stories[2]


def test_every_token_has_a_piece_and_the_pieces_add_up(tiny: Model) -> None:
    pieces = list(generate(tiny, ask(tiny, "Tell me a story."), Sampling(max_tokens=40), seed=1))
    assert len(pieces) == 40
    assert [piece.finish_reason for piece in pieces] == [None] * 39 + ["length"]
    assert text_of(pieces) == tiny.tokenizer.decode(piece.token_id for piece in pieces)


def test_a_stop_string_ends_the_answer_before_itself(tiny: Model) -> None:
    prompt = ask(tiny, "What is 7 + 5?")
    pieces = list(generate(tiny, prompt, Sampling(stop=("= 1", "zzz")), seed=0))
    assert text_of(pieces) == "7 + 5 "
    assert pieces[-1].finish_reason == "stop"


def test_the_held_back_start_of_a_stop_string_is_let_go_at_the_end(tiny: Model) -> None:
    prompt = ask(tiny, "What is 7 + 5?")
    pieces = list(generate(tiny, prompt, Sampling(stop=("12. And",)), seed=0))
    assert text_of(pieces) == "7 + 5 = 12."


def test_what_does_not_fit_the_context_is_refused_before_anything_is_computed(tiny: Model) -> None:
    prompt = ask(tiny, "Hello")
    room = tiny.context_tokens - len(prompt)
    with pytest.raises(InvalidError) as caught:
        next(generate(tiny, prompt, Sampling(max_tokens=room + 1), seed=0))
    assert (caught.value.code, caught.value.field) == ("context_length_exceeded", "max_tokens")
    with pytest.raises(InvalidError) as caught:
        next(generate(tiny, [5] * 512, Sampling(max_tokens=1), seed=0))
    assert caught.value.field == "messages"


def test_a_prompt_far_beyond_the_context_is_refused_without_cutting_it_up(tiny: Model) -> None:
    start = time.process_time()
    with pytest.raises(InvalidError) as caught:
        ask(tiny, "ab" * 500_000)
    assert (caught.value.code, caught.value.field) == ("context_length_exceeded", "messages")
    assert time.process_time() - start < 1


def test_the_context_can_be_filled_to_its_last_token(tiny: Model) -> None:
    prompt = [5] * 500
    pieces = list(generate(tiny, prompt, Sampling(temperature=1.0, max_tokens=12, stop=("\x00",)), seed=3))
    assert len(pieces) == 12 or pieces[-1].finish_reason == "stop"


def test_cancelling_ends_it_within_a_token(tiny: Model) -> None:
    is_cancelled = False
    pieces = generate(tiny, ask(tiny, "Tell me a story."), Sampling(), seed=0, cancelled=lambda: is_cancelled)
    next(pieces)
    is_cancelled = True
    with pytest.raises(CancelledError):
        next(pieces)


def test_logprobs_are_those_of_one_pass_over_the_answer(tiny: Model) -> None:
    from hivemark.engine.sampler import log_probabilities

    prompt = ask(tiny, "Tell me a story.")
    pieces = list(generate(tiny, prompt, Sampling(temperature=0.8), seed=2, top_logprobs=3))
    tokens = [piece.token_id for piece in pieces]
    replayed = tiny.session().feed_all([*prompt, *tokens])[len(prompt) - 1 : -1]
    for piece, logits in zip(pieces, replayed, strict=True):
        assert piece.logprob == pytest.approx(log_probabilities(logits)[piece.token_id], abs=2e-4)
        assert [each.logprob for each in piece.top] == sorted((t.logprob for t in piece.top), reverse=True)
        assert len(piece.top) == 3


def test_without_asking_there_are_no_logprobs(tiny: Model) -> None:
    piece = next(generate(tiny, ask(tiny, "Hello"), Sampling(), seed=0))
    assert (piece.logprob, piece.top) == (None, ())
