"""A conversation and its turns: what was asked, what came back, and how fast; no I/O."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from hivemark.client.chat import ChatRequest, Message
from hivemark.client.chatstream import Usage

MEASURED_S: Final = 0.05


class Ending(StrEnum):
    """How an answer ended."""

    WHOLE = "whole"
    STOPPED = "stopped"  # by the person who asked
    BROKEN = "broken"


@dataclass(slots=True)
class Turn:
    """One question and its answer so far; times are seconds since the question was sent."""

    question: str
    request: ChatRequest
    body: bytes = b""
    answer: str = ""
    pieces: int = 0
    execution: str | None = None
    job: str | None = None
    outcome: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    first_s: float | None = None
    last_s: float | None = None
    ending: Ending = Ending.BROKEN

    def add(self, text: str, *, at_s: float) -> None:
        """More of the answer has come."""
        self.answer += text
        self.pieces += 1
        self.first_s = at_s if self.first_s is None else self.first_s
        self.last_s = at_s

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens after the first over the time they took; None where that is too short to say anything."""
        if self.first_s is None or self.last_s is None or self.usage is None:
            return None
        took_s, after_first = self.last_s - self.first_s, self.usage.completion_tokens - 1
        return after_first / took_s if took_s >= MEASURED_S and after_first > 0 else None

    @property
    def line(self) -> str:
        """The turn in figures, for people: what the server did not tell is not made up."""
        parts = [self.request.model]
        parts += [] if self.usage is None else [f"{self.usage.completion_tokens} tokens"]
        parts += [] if self.tokens_per_s is None else [f"{self.tokens_per_s:.1f} tokens/s"]
        parts += [] if self.first_s is None else [f"first token after {self.first_s:.2f} s"]
        parts += ["stopped"] if self.ending is Ending.STOPPED else []
        parts += ["cut at the limit of tokens"] if self.finish_reason == "length" else []
        parts += [part for part in (self.execution, self.outcome) if part is not None]
        return " · ".join(parts)

    def to_object(self) -> dict[str, Any]:
        """The turn as it is saved."""
        return {
            "question": self.question,
            "answer": self.answer,
            "model": self.request.model,
            "ending": self.ending,
            "finish_reason": self.finish_reason,
            "execution": self.execution,
            "job": self.job,
            "prompt_tokens": None if self.usage is None else self.usage.prompt_tokens,
            "completion_tokens": None if self.usage is None else self.usage.completion_tokens,
        }


@dataclass(slots=True)
class Conversation:
    """What is sent with every question; turns without an answer are not part of it."""

    model: str
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    turns: list[Turn] = field(default_factory=list)
    asked: str | None = None  # the newest question, also when it was never answered

    def begin(self, question: str) -> Turn:
        """The turn for a question, with everything that was said before; not part of the talk yet."""
        self.asked = question
        messages = [] if self.system is None else [Message("system", self.system)]
        for turn in self.turns:
            messages += [Message("user", turn.question), Message("assistant", turn.answer)]
        messages.append(Message("user", question))
        request = ChatRequest(
            model=self.model,
            messages=messages,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )
        return Turn(question=question, request=request)

    def keep(self, turn: Turn) -> None:
        """The turn belongs to the talk if there is an answer, be it a part of one."""
        if turn.answer:
            self.turns.append(turn)

    @property
    def last(self) -> Turn | None:
        """The newest turn that has an answer."""
        return self.turns[-1] if self.turns else None

    def take_back(self) -> str | None:
        """Forget the newest turn if it is the newest question's; the question, to be asked again."""
        if self.turns and self.turns[-1].question == self.asked:
            self.turns.pop()
        return self.asked

    @property
    def tokens(self) -> tuple[int, int]:
        """All prompt and completion tokens of the talk, as far as the server told them."""
        told = [turn.usage for turn in self.turns if turn.usage is not None]
        return sum(each.prompt_tokens for each in told), sum(each.completion_tokens for each in told)
