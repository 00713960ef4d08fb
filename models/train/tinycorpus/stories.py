"""Short stories that keep track of who has what, and where it was found.

A plot is the sentences of a story in order; the wordy variant tells all of them, the terse one leaves out
those that the plot can do without: they start with `~`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tinycorpus.words import (
    BUILDINGS,
    COLOURS,
    FOOD,
    HE,
    HIDDEN,
    KIN,
    OBJECTS,
    PLACES,
    SHE,
    SIZES,
    SKILLS,
    TRAITS,
    WEATHER,
    article,
    sentence_case,
)


@dataclass(frozen=True, slots=True)
class Character:
    """Somebody in a story, with the words that stand for them."""

    name: str
    kind: str
    trait: str
    they: str
    them: str
    their: str

    @property
    def intro(self) -> str:
        return f"{article(self.trait)} {self.kind} named {self.name}"


@dataclass(frozen=True, slots=True)
class Scene:
    """What chance has decided before a story is told."""

    hero: Character
    friend: Character
    thing: str
    other: str
    colour: str
    place: str
    hidden: str
    kin: str
    food: str


Plot = Callable[[Scene, Random], Sequence[str]]


def tell(
    rng: Random,
    animals: Sequence[str],
    *,
    is_wordy: bool,
    hero: str | None = None,
    thing: str | None = None,
    topic: str | None = None,
) -> str:
    """A story about the given hero (an animal), thing or topic (a key of `PLOTS`)."""
    scene = _scene(rng, animals, hero=hero, thing=thing)
    plot = PLOTS[topic] if topic else rng.choice(THING_PLOTS if thing else tuple(PLOTS.values()))
    sentences = [*_opening(scene, rng), *plot(scene, rng)]
    told = [each.lstrip("~") for each in sentences if is_wordy or not each.startswith("~")]
    text = " ".join(told)
    return f"Here is a story for you. {text} The end." if is_wordy else text


def _scene(rng: Random, animals: Sequence[str], *, hero: str | None, thing: str | None) -> Scene:
    first = _character(rng, hero or (rng.choice(animals) if rng.random() < 0.45 else None))
    friend = _character(rng, rng.choice(animals) if rng.random() < 0.45 else None)
    while friend.name == first.name or friend.kind == first.kind:
        friend = _character(rng, rng.choice(animals) if rng.random() < 0.45 else None)
    thing = thing or rng.choice(OBJECTS)
    return Scene(
        hero=first,
        friend=friend,
        thing=thing,
        other=rng.choice([each for each in OBJECTS if each != thing]),
        colour=rng.choice(COLOURS),
        place=rng.choice(PLACES),
        hidden=rng.choice(HIDDEN),
        kin=rng.choice(KIN),
        food=rng.choice(FOOD),
    )


def _character(rng: Random, animal: str | None) -> Character:
    trait = rng.choice(TRAITS)
    if rng.random() < 0.5:
        return Character(rng.choice(HE), animal or "boy", trait, "he", "him", "his")
    return Character(rng.choice(SHE), animal or "girl", trait, "she", "her", "her")


def _opening(s: Scene, rng: Random) -> list[str]:
    first = rng.choice((f"Once upon a time there was {s.hero.intro}.", f"There was once {s.hero.intro}."))
    return [first, f"~{rng.choice((*WEATHER, f'{s.hero.name} was very {s.hero.trait}.'))}"]


def _lost(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"{hero.name} had {article(s.colour)} {s.thing}.",
        f"One day the {s.thing} was gone.",
        f'"Where is my {s.thing}?" said {hero.name}.',
        f"~{sentence_case(hero.they)} looked everywhere {s.place}.",
        f"~{hero.name} was sad.",
        f"Then {friend.intro} came by.",
        f'~"I will help you," said {friend.name}.',
        f"{friend.name} found the {s.colour} {s.thing} {s.hidden}.",
        f'"Thank you, {friend.name}!" said {hero.name}.',
        f"~{hero.name} and {friend.name} became good friends.",
    )


def _sharing(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"{hero.name} had {article(rng.choice(SIZES))} {s.colour} {s.thing}.",
        f"{sentence_case(friend.intro)} wanted to play with the {s.thing} too.",
        f'~"Can I play with your {s.thing}?" asked {friend.name}.',
        f"At first {hero.name} said no.",
        f"~{friend.name} was sad and sat down {s.hidden}.",
        f"Then {hero.name} felt bad.",
        f'"We can play with the {s.thing} together," said {hero.name}.',
        f"~They played {s.place} all day.",
        f"{hero.name} learned that it is good to share.",
    )


def _helping(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"~{hero.name} was walking {s.place}.",
        f"{sentence_case(hero.they)} saw {friend.intro}.",
        f"{friend.name} could not lift a heavy {s.thing}.",
        f'"Let me help you," said {hero.name}.',
        f"They lifted the {s.thing} together.",
        f"{friend.name} gave {hero.name} {s.food} to say thank you.",
        f"~{hero.name} went home with a smile.",
    )


def _rain(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"{hero.name} was playing {s.place} with {hero.their} {s.colour} {s.thing}.",
        "Then it began to rain.",
        f'~"Oh no, I will get wet!" said {hero.name}.',
        f"{sentence_case(hero.they)} ran and hid under a big tree.",
        f"{sentence_case(friend.intro)} was there too.",
        f'~"We can wait here together," said {friend.name}.',
        "They told each other stories until the rain stopped.",
        "~Then they saw a rainbow in the sky.",
        f"{hero.name} was glad that it had rained.",
    )


def _hunger(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"{hero.name} was very hungry.",
        f"~{sentence_case(hero.they)} looked for food {s.place}, but {hero.they} found nothing.",
        f"Then {hero.they} met {friend.intro}.",
        f"{friend.name} had {s.food}.",
        f'"You can have half of it," said {friend.name}.',
        f'~{hero.name} ate and said, "Thank you. You are very kind."',
        f"The next day {hero.name} brought {article(s.colour)} {s.thing} for {friend.name}.",
        "~They were friends from then on.",
    )


def _learning(s: Scene, rng: Random) -> Sequence[str]:
    hero, skill = s.hero, rng.choice(SKILLS)
    return (
        f"{hero.name} wanted to learn how to {skill}.",
        f"{sentence_case(hero.they)} tried, but it was hard.",
        f'~"I can not do it," said {hero.name}.',
        f'{sentence_case(hero.their)} {s.kin} said, "Try again."',
        f"So {hero.name} tried every day {s.place}.",
        f"One morning {hero.they} could {skill}!",
        f'~"I did it!" said {hero.name}.',
        f"{sentence_case(hero.their)} {s.kin} was very proud.",
    )


def _fear(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"At night {hero.name} heard a strange sound {s.hidden}.",
        f"~{sentence_case(hero.they)} was scared.",
        f'"Who is there?" asked {hero.name}.',
        f"~{sentence_case(hero.they)} took a lamp and went to look.",
        f"It was only {friend.intro}!",
        f'"I am lost," said {friend.name}.',
        f"{hero.name} was not scared any more and took {friend.name} home.",
    )


def _gift(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"It was the birthday of {hero.their} {s.kin}.",
        f"~{hero.name} wanted to find a good gift.",
        f"{hero.name} saw {article(s.colour)} {s.thing}, but had only one coin.",
        f"{sentence_case(friend.intro)} gave {hero.them} one more coin.",
        f"~{hero.name} got the {s.colour} {s.thing} and ran home.",
        f"{sentence_case(hero.their)} {s.kin} loved the {s.thing}.",
    )


def _race(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"{hero.name} and {friend.intro} had a race {s.place}.",
        f'~"I am very fast," said {friend.name}. "I will win."',
        f"{friend.name} ran fast, but then stopped to eat {s.food}.",
        f"{hero.name} did not stop.",
        f"In the end {hero.name} won the race.",
        f'~"Well done," said {friend.name}.',
    )


def _building(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend, thing = s.hero, s.friend, rng.choice(BUILDINGS)
    return (
        f"{hero.name} wanted to build {thing} {s.place}.",
        f"{sentence_case(hero.they)} asked {friend.intro} to help.",
        "~They worked all day.",
        "The wind came and broke it.",
        f'"We can build it again," said {friend.name}.',
        "They built it again, and this time it was strong.",
        f"~{hero.name} put {article(s.colour)} {s.thing} on top.",
    )


def _finding(s: Scene, rng: Random) -> Sequence[str]:
    hero, friend = s.hero, s.friend
    return (
        f"{hero.name} found {article(s.colour)} {s.thing} {s.hidden}.",
        f'~"What is this?" said {hero.name}.',
        f"{sentence_case(hero.they)} showed the {s.thing} to {friend.intro}.",
        f'"It is my {s.thing}!" said {friend.name}.',
        '~"I lost it long ago."',
        f"{hero.name} gave the {s.thing} back.",
        f"{friend.name} was so happy that they danced together.",
        "~It is good to be honest.",
    )


PLOTS: Final[dict[str, Plot]] = {
    "a lost thing": _lost,
    "sharing": _sharing,
    "helping": _helping,
    "the rain": _rain,
    "being hungry": _hunger,
    "learning": _learning,
    "being scared": _fear,
    "a gift": _gift,
    "a race": _race,
    "building something": _building,
    "being honest": _finding,
}
THING_PLOTS: Final[tuple[Plot, ...]] = (_lost, _sharing, _helping, _gift, _finding)
