"""A model's chat template: Jinja from the model file, so from a stranger, in an immutable sandbox.

Bounded here: size of the template, characters of output, seconds of Python, operands of `*` and `**`. One
operation that asks for much memory is not; the worker's address space limit ends that.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from hivemark.errors import InvalidError

TEMPLATE_CHARACTERS_MAX: Final = 262_144
OUTPUT_CHARACTERS_MAX: Final = 4_194_304
RENDER_SECONDS_MAX: Final = 1.0
PRODUCT_MAX: Final = 1_000_000

# What a template can provoke in the interpreter besides Jinja's own errors; the template is at fault.
_FAULTS: Final = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)

Message = Mapping[str, str]
FormatTime = Callable[[str], str]


class ChatTemplate:
    """A compiled template. Raises `InvalidError` code `template_invalid` when it does not compile."""

    def __init__(self, source: str) -> None:
        if len(source) > TEMPLATE_CHARACTERS_MAX:
            raise _invalid(f"the template has {len(source)} characters, more than {TEMPLATE_CHARACTERS_MAX}")
        environment = _Sandbox(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # constant folding would run a template's arithmetic while it compiles
            extensions=["jinja2.ext.loopcontrols"],
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        try:
            self._template = environment.from_string(source)
        except (*_FAULTS, SyntaxError) as error:
            raise _invalid(f"the template does not compile: {error}") from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        beginning: str,
        ending: str,
        strftime_now: FormatTime,
        deadline_s: float = RENDER_SECONDS_MAX,
    ) -> str:
        """The prompt text that asks for the assistant's next message.

        `InvalidError`: `template_refused` when the template calls `raise_exception` (these messages do not
        suit it), `template_invalid` when it fails or passes a limit.
        """
        failure: InvalidError
        try:
            with _deadline(deadline_s):
                return self._joined(
                    messages=[dict(message) for message in messages],
                    add_generation_prompt=True,
                    bos_token=beginning,
                    eos_token=ending,
                    strftime_now=strftime_now,
                )
        except InvalidError as error:
            failure = error.with_traceback(None)
        except _FAULTS as error:
            failure = _invalid(f"the template failed: {str(error) or type(error).__name__}")
            failure.__cause__ = error.with_traceback(None)
        # The frames of a failed template hold what it made and, by Jinja's rewritten traceback, themselves.
        gc.collect()
        raise failure

    def _joined(self, **variables: object) -> str:
        """All parts of the output, counted while they are made."""
        parts: list[str] = []
        size = 0
        for part in self._template.generate(variables):
            size += len(part)
            if size > OUTPUT_CHARACTERS_MAX:
                raise _invalid(f"the prompt grew past {OUTPUT_CHARACTERS_MAX} characters")
            parts.append(part)
        return "".join(parts)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox that also looks at the operands which make big things out of small ones."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        sizes = [_size(left), _size(right)]
        is_too_big = max(sizes) > PRODUCT_MAX or sizes[0] * sizes[1] > PRODUCT_MAX
        if is_too_big or (operator == "**" and sizes[1] > 64):
            raise SecurityError(f"operands of {operator} are too big")
        return super().call_binop(context, operator, left, right)


def _size(operand: Any) -> float:
    return abs(operand) if isinstance(operand, (int, float)) else len(operand)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise from inside the template's code once `seconds` are over.

    A thread cannot be interrupted from outside; the interpreter's trace hook runs at every line of it.
    """
    end = time.monotonic() + seconds

    def check(_frame: FrameType, _event: str, _argument: Any) -> Any:
        if time.monotonic() > end:
            raise _invalid(f"the template ran longer than {seconds:g} s")
        return check

    before = sys.gettrace()
    sys.settrace(check)
    try:
        yield
    finally:
        sys.settrace(before)


def _to_json(value: Any, indent: int | None = None) -> str:
    """What templates expect of `tojson`: no HTML escapes, text as it is."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise InvalidError(f"the model's template refuses: {message}", code="template_refused", field="messages")


def _invalid(message: str) -> InvalidError:
    return InvalidError(message, code="template_invalid", field="tokenizer.chat_template")
