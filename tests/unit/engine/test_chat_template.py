"""Chat templates come from strangers: what they may see, and what they may cost."""

import sys
import time

import pytest

from hivemark.engine.chat_template import TEMPLATE_CHARACTERS_MAX, ChatTemplate
from hivemark.errors import InvalidError

MESSAGES = [{"role": "user", "content": "Hi <b>"}, {"role": "assistant", "content": "猫"}]


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def render(source: str, *, deadline_s: float = 1.0) -> str:
    return ChatTemplate(source).render(
        MESSAGES, beginning="<s>", ending="</s>", strftime_now="now({})".format, deadline_s=deadline_s
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m['content'] }};{% endfor %}{{ eos_token }}",
         "<s>user:Hi <b>;assistant:猫;</s>"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "Hi <b>"}'),
        ("{{ strftime_now('%Y') }}", "now(%Y)"),
        ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("  {% if add_generation_prompt %}\nyes{% endif %}", "yes"),
        ("{% if tools is defined %}tools{% endif %}{{ tools }}", ""),
        ("{% set ns = namespace(n=2) %}{% set ns.n = ns.n * 3 %}{{ ns.n }}", "6"),
    ],
)  # fmt: skip
def test_what_templates_in_the_field_use_works(source: str, expected: str) -> None:
    assert render(source) == expected


def test_a_template_may_refuse_the_messages() -> None:
    with pytest.raises(InvalidError, match="roles must alternate") as caught:
        render("{{ raise_exception('roles must alternate') }}")
    assert (caught.value.code, caught.value.field) == ("template_refused", "messages")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.sys }}",
        "{{ strftime_now.__globals__['sys'] }}",
        "{% set _ = messages.append(1) %}",
        "{% set _ = messages[0].update(role='system') %}",
        "{{ 'x' * 10000000 }}",
        "{{ [0] * 10000000 }}",
        "{{ 9 ** 9999 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 1 // 0 }}",
        "{{ messages[9].content }}",
        "{{ messages | nothing }}",
        "{{ range(100000000) | list }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'other' %}",
        "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
    ],
)
def test_what_a_template_may_not_do_is_a_named_refusal(source: str) -> None:
    with pytest.raises(InvalidError) as caught:
        render(source)
    assert caught.value.code == "template_invalid"


def test_a_template_that_never_ends_is_stopped() -> None:
    start = time.monotonic()
    with pytest.raises(InvalidError, match="longer than"):
        render(
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", deadline_s=0.2
        )
    assert time.monotonic() - start < 5


def test_the_trace_hook_is_put_back() -> None:
    before = sys.gettrace()
    render("x")
    assert sys.gettrace() is before


@pytest.mark.parametrize("source", ["{% for %}", "{{", "(" * 3000, "x" * (TEMPLATE_CHARACTERS_MAX + 1)])
def test_a_template_that_does_not_compile_is_refused_when_it_is_loaded(source: str) -> None:
    if source.startswith("("):
        source = "{{ " + source + "1" + ")" * 3000 + " }}"
    with pytest.raises(InvalidError) as caught:
        ChatTemplate(source)
    assert caught.value.field == "tokenizer.chat_template"
