"""What `--question` means: an id, the name of a set, or the question itself."""

from collections.abc import Sequence

from hivemark.client.views import Question
from hivemark.errors import InvalidError
from hivemark.protocol.strictjson import JsonObject


def choose_questions(
    wanted: Sequence[str | JsonObject], known: Sequence[Question]
) -> tuple[str | JsonObject, ...]:
    """The members for a JobSpec: ids stay ids, a set becomes its ids, text becomes a question of its own.

    Text is recognised by its white space; a single word that is no id and no set is an error, because it
    would more likely be a misspelt id than a question.
    """
    chosen: list[str | JsonObject] = []
    for number, item in enumerate(wanted, start=1):
        meant = [item] if not isinstance(item, str) else _meaning(item, number, known)
        chosen += [each for each in meant if each not in chosen]  # named alone and by its set: asked once
    return tuple(chosen)


def _meaning(text: str, number: int, known: Sequence[Question]) -> Sequence[str | JsonObject]:
    if any(question.id == text for question in known):
        return [text]
    if in_set := [question.id for question in known if question.set_name == text]:
        return list(in_set)
    if len(text.split()) > 1:
        return [{"id": f"own-{number}", "text": text}]
    raise InvalidError(
        f"{text!r} is neither a question's id, nor a set, nor a sentence",
        code="unknown_question",
        field="question",
        hint="hivemark run --list-questions",
    )
