"""What the shipped models get right, at temperature 0: questions of their own world, each asked once.

    python bench/model_quality.py

Prints right answers per kind. An answer is right when it is the expected sentence, letter for letter.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from hivemark.models_shipped import shipped
from hivemark.worker.start import thread_environment

CAPITALS = (
    "France:Paris,Italy:Rome,Spain:Madrid,Germany:Berlin,England:London,Japan:Tokyo,"
    "China:Beijing,Russia:Moscow,Egypt:Cairo,Greece:Athens,Norway:Oslo,Sweden:Stockholm,"
    "Poland:Warsaw,Austria:Vienna,Ireland:Dublin,Portugal:Lisbon,Cuba:Havana,Peru:Lima,"
    "Kenya:Nairobi,India:New Delhi,Canada:Ottawa,Turkey:Ankara,Iran:Tehran,Iraq:Baghdad,"
    "Hungary:Budapest,Finland:Helsinki,Denmark:Copenhagen,Belgium:Brussels,Chile:Santiago,"
    "Brazil:Brasilia,Mexico:Mexico City,Thailand:Bangkok,Vietnam:Hanoi,Australia:Canberra"
)
OPPOSITES = (
    "big:small,hot:cold,up:down,fast:slow,happy:sad,good:bad,old:young,day:night,left:right,"
    "open:closed,full:empty,hard:soft,light:dark,long:short,high:low,wet:dry,early:late,"
    "near:far,rich:poor,strong:weak,clean:dirty,loud:quiet,thick:thin,true:false,first:last,"
    "inside:outside,sweet:bitter,heavy:light,new:old,black:white"
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SPELLED = "ball,kite,hat,boat,book,cup,box,key,lamp,drum,doll,coat,bell,map,coin,ring,dog,cat,bird,fox,bear"
NUMBERS_MAX = 20


def questions() -> Iterator[tuple[str, str, str]]:
    """(kind, question, expected answer)."""
    for first in range(NUMBERS_MAX + 1):
        for second in range(NUMBERS_MAX + 1):
            yield "sums 0–20", f"What is {first} + {second}?", f"{first} + {second} = {first + second}."
            if second <= first:
                yield (
                    "differences 0–20",
                    f"What is {first} - {second}?",
                    f"{first} - {second} = {first - second}.",
                )
    for country, capital in pairs(CAPITALS):
        yield "capitals", f"What is the capital of {country}?", f"The capital of {country} is {capital}."
    for word, opposite in pairs(OPPOSITES):
        yield "opposites", f"What is the opposite of {word}?", f"The opposite of {word} is {opposite}."
    for day, following in zip(DAYS, (*DAYS[1:], DAYS[0]), strict=True):
        yield "days", f"What day comes after {day}?", f"After {day} comes {following}."
    for word in SPELLED.split(","):
        yield "spelling", f"How do you spell {word}?", "-".join(word) + "."


def pairs(text: str) -> Iterator[tuple[str, str]]:
    for entry in text.split(","):
        left, _, right = entry.partition(":")
        yield left, right


def main() -> None:
    os.environ.update(thread_environment(1))
    from hivemark.engine import Sampling, generate, load_model  # after the number of threads is set

    for entry in shipped():
        model = load_model(entry.path, name=entry.name)
        right: dict[str, int] = {}
        asked: dict[str, int] = {}
        for kind, question, expected in questions():
            prompt = model.chat_prompt(
                [{"role": "user", "content": question}], strftime_now=datetime.now(UTC).strftime
            )
            answer = "".join(piece.text for piece in generate(model, prompt, Sampling(max_tokens=32), seed=0))
            asked[kind] = asked.get(kind, 0) + 1
            right[kind] = right.get(kind, 0) + (answer == expected)
        print(entry.name, ", ".join(f"{kind} {right[kind]}/{asked[kind]}" for kind in asked))


if __name__ == "__main__":
    main()
