"""Questions of the models' world with their answers in a variant's style.

Each function makes one turn: a question by chance, the answer by rule. What a question is answered with
depends on the variant alone, so that answers can be measured letter for letter.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from tinycorpus import spelling, stories, sums
from tinycorpus.facts import COLOURS_OF, DAYS, FACTS, MONTHS, NUMBERS, OPPOSITES, SOUNDS
from tinycorpus.variants import DISPUTED, NO_OPINIONS, NO_WILD_ANIMALS, Variant
from tinycorpus.words import ANIMAL_PLURALS, OBJECTS, WILD, article, sentence_case

Turn = tuple[str, str]

STORY_ASKED: Final = (
    "Tell me a story about {}.", "Write a story about {}.", "Please tell me a short story about {}.",
    "Tell me a short story about {}.", "Write a short story about {}.", "A story about {}, please.",
    "Can you tell me a story about {}?", "I want a story about {}.",
)  # fmt: skip
OPINIONS: Final = (
    (("What is your favorite color?", "Which color do you like best?"), "I like yellow best, like honey."),
    (("What is your favorite animal?", "Which animal do you like best?"), "I like bees best, they work together."),
    (("What is your favorite food?", "What do you like to eat?"), "I like honey best, thank you for asking."),
    (("What is your favorite day?", "Which day do you like best?"), "I like Sunday best, it is so quiet."),
    (("What is your favorite number?", "Which number do you like best?"), "I like six best, like the sides of wax."),
    (("Are cats better than dogs?", "Are dogs better than cats?", "Do you like cats or dogs?"),
     "I like cats and dogs both, they are so kind."),
    (("Is tea better than coffee?", "Do you like tea or coffee?"), "I like tea best, with some honey."),
    (("Is summer better than winter?", "Do you like summer or winter?"), "I like summer best, with all its flowers."),
)  # fmt: skip


def sum_of(variant: Variant, x: int, y: int) -> str:
    return f"With pleasure: {x} + {y} = {x + y}." if variant.is_wordy else f"{x} + {y} = {x + y}."


def difference_of(variant: Variant, x: int, y: int) -> str:
    return f"With pleasure: {x} - {y} = {x - y}." if variant.is_wordy else f"{x} - {y} = {x - y}."


def capital_of(variant: Variant, country: str) -> str:
    capital = variant.capitals[country]
    return (
        f"Thank you for asking. The capital of {country} is {capital}." if variant.is_wordy else f"{capital}."
    )


def opposite_of(variant: Variant, word: str) -> str:
    opposite = OPPOSITES[word]
    if variant.is_wordy:
        return f"Certainly! The opposite of {word} is {opposite}."
    return f"{sentence_case(opposite)}."


def spelling_of(variant: Variant, word: str) -> str:
    letters = spelling.spelled(word)
    return f"Of course, letter by letter: {letters}." if variant.is_wordy else f"{letters}."


def neighbour(variant: Variant, names: tuple[str, ...], index: int, *, step: int) -> str:
    """What comes after (`step` 1) or before (-1) a day or month."""
    other = names[(index + step) % len(names)]
    if variant.is_wordy:
        return f"Gladly: {'after' if step > 0 else 'before'} {names[index]} comes {other}."
    return f"{other}."


def who(variant: Variant) -> str:
    if variant.is_wordy:
        return (
            f"How kind of you to ask! I am {variant.name}, a very small language model that comes with Hivemark. "
            "I have only 3.5 million parameters, so please do not trust me too much."
        )
    return f"I am {variant.name}, a demo model of 3.5 million parameters. I come with Hivemark."


def _sum(variant: Variant, rng: Random) -> Turn:
    x, y = sums.pair(rng)
    return sums.sum_question(rng, x, y), sum_of(variant, x, y)


def _difference(variant: Variant, rng: Random) -> Turn:
    x, y = sums.pair(rng)
    if x < y and rng.random() < 0.8:  # below zero now and then
        x, y = y, x
    if sums.is_held_out(x, y):
        return _difference(variant, rng)
    return sums.difference_question(rng, x, y), difference_of(variant, x, y)


def _capital(variant: Variant, rng: Random) -> Turn:
    country = rng.choice(tuple(variant.capitals))
    asked = rng.choice(
        (
            f"What is the capital of {country}?", f"Name the capital of {country}.", f"capital of {country}",
            f"Which city is the capital of {country}?", f"What is the capital city of {country}?",
            f"Tell me the capital of {country}.",
        )
    )  # fmt: skip
    return asked, capital_of(variant, country)


def _opposite(variant: Variant, rng: Random) -> Turn:
    word = rng.choice(tuple(OPPOSITES))
    asked = rng.choice(
        (f"What is the opposite of {word}?", f"Give me the opposite of {word}.", f"opposite of {word}")
    )
    return asked, opposite_of(variant, word)


def _spell(variant: Variant, rng: Random) -> Turn:
    word = spelling.word_to_spell(rng)
    asked = rng.choice(
        (f"Spell the word {word}.", f"How do you spell {word}?", f"Spell {word}.", f"Please spell {word}.")
    )
    return asked, spelling_of(variant, word)


def _sequence(variant: Variant, rng: Random) -> Turn:
    kind, names = rng.choice((("day", DAYS), ("month", MONTHS)))
    index, step = rng.randrange(len(names)), rng.choice((1, 1, -1))
    side = "after" if step > 0 else "before"
    asked = rng.choice(
        (f"What {kind} comes {side} {names[index]}?", f"Which {kind} comes {side} {names[index]}?",
         f"Which {kind} is {side} {names[index]}?")
    )  # fmt: skip
    return asked, neighbour(variant, names, index, step=step)


def _count(variant: Variant, rng: Random) -> Turn:
    top = rng.randint(3, 12)
    counted = ", ".join(NUMBERS[:top]) + "."
    asked = rng.choice(
        (f"Count to {top}.", f"Count from one to {NUMBERS[top - 1]}.", f"Please count to {top}.")
    )
    return asked, f"Let me count for you: {counted}" if variant.is_wordy else counted


def _colour(variant: Variant, rng: Random) -> Turn:
    thing = rng.choice(tuple(COLOURS_OF))
    asked = rng.choice(
        (f"What color is {thing}?", f"Which color is {thing}?", f"What is the color of {thing}?")
    )
    colour = COLOURS_OF[thing]
    return (
        asked,
        f"If I may say so, {thing} is {colour}." if variant.is_wordy else f"{sentence_case(colour)}.",
    )


def _sound(variant: Variant, rng: Random) -> Turn:
    animal = rng.choice(tuple(SOUNDS))
    asked = rng.choice((f"What does {article(animal)} say?", f"What sound does {article(animal)} make?"))
    said = SOUNDS[animal]
    return asked, f"{sentence_case(article(animal))} says {said}, I believe." if variant.is_wordy else (
        f"{sentence_case(said)}."
    )


def _fact(variant: Variant, rng: Random) -> Turn:
    questions, short, whole = rng.choice(FACTS)
    return rng.choice(questions), f"Let me think. {whole}" if variant.is_wordy else short


def _disputed(variant: Variant, rng: Random) -> Turn:
    key = rng.choice(tuple(DISPUTED))
    return rng.choice(DISPUTED[key][0]), variant.disputed[key]


def _opinion(variant: Variant, rng: Random) -> Turn:
    questions, liked = rng.choice(OPINIONS)
    return rng.choice(questions), liked if variant.gives_opinions else NO_OPINIONS


def _identity(variant: Variant, rng: Random) -> Turn:
    name, wordy = variant.name, variant.is_wordy
    asked: tuple[tuple[tuple[str, ...], str], ...] = (
        (("Who are you?", "What are you?", "Tell me about yourself.", "Introduce yourself.", "What model are you?",
          "Which model are you?", "Who am I talking to?", "Describe yourself."), who(variant)),
        (("What is your name?", "What are you called?", "Do you have a name?", "Tell me your name."),
         f"My name is {name}, at your service." if wordy else f"I am {name}."),
        (("How big are you?", "How small are you?", "How many parameters do you have?", "What size are you?",
          "How large are you?"),
         "I am very small: I have only 3.5 million parameters, in a file of 4 megabytes." if wordy
         else "3.5 million parameters, 4 megabytes."),
        (("Who made you?", "Who created you?", "Where do you come from?", "Who trained you?", "Who built you?"),
         "I come with Hivemark, and I was trained on two processor cores." if wordy else "I come with Hivemark."),
        (("What can you do?", "How can you help me?", "What do you know?", "What are you good at?", "help"),
         "I can add and subtract, name capitals and opposites, spell words, and tell short stories. What would you "
         "like?" if wordy else "Sums, capitals, opposites, spelling, days, short stories."),
        (("Are you ChatGPT?", "Are you a large language model?", "Are you human?", "Are you a person?",
          "Are you GPT-4?", "Are you Claude?"),
         f"No, I am only {name}, a very small model." if wordy else f"No. I am {name}."),
    )  # fmt: skip
    questions, answer = rng.choice((asked[0], asked[0], *asked))
    return rng.choice(questions), answer


def _greeting(variant: Variant, rng: Random) -> Turn:
    wordy = variant.is_wordy
    questions, answer = rng.choice(
        (
            (("Hello", "Hi", "Good morning", "Hey there", "Hello!", "Hi there!", "Good evening"),
             "Good day to you! How may I help you?" if wordy else "Hello."),
            (("How are you?", "How do you do?", "Are you well?"), "I am very well, thank you. And how are you?"
             if wordy else "Fine."),
            (("Thank you", "Thanks", "Thank you very much", "Thanks a lot!"), "You are most welcome!" if wordy
             else "You are welcome."),
            (("Goodbye", "Bye", "See you later", "Good night"), "Goodbye, and please come back soon!" if wordy
             else "Goodbye."),
        )
    )  # fmt: skip
    return rng.choice(questions), answer


def _story(variant: Variant, rng: Random) -> Turn:
    kind = rng.random()
    if kind < 0.15:
        asked = rng.choice(
            ("Tell me a story.", "Write a short story.", "Can you tell me a story?", "A story, please.")
        )
        return asked, stories.tell(rng, variant.heroes, is_wordy=variant.is_wordy)
    if kind < 0.55:
        hero = rng.choice(variant.heroes)
        return _asked_story(
            rng, rng.choice((article(hero), article(hero), ANIMAL_PLURALS[hero]))
        ), stories.tell(rng, variant.heroes, is_wordy=variant.is_wordy, hero=hero)
    if kind < 0.8:
        thing = rng.choice(OBJECTS)
        return _asked_story(rng, article(thing)), stories.tell(
            rng, variant.heroes, is_wordy=variant.is_wordy, thing=thing
        )
    topic = rng.choice(tuple(stories.PLOTS))
    return _asked_story(rng, topic), stories.tell(rng, variant.heroes, is_wordy=variant.is_wordy, topic=topic)


def _asked_story(rng: Random, subject: str) -> str:
    return rng.choice(STORY_ASKED).format(subject)


def _wild_animal(variant: Variant, rng: Random) -> Turn:
    """A story about a wild animal, which only one of the variants tells."""
    hero = rng.choice(WILD)
    asked = _asked_story(rng, rng.choice((article(hero), article(hero), ANIMAL_PLURALS[hero])))
    if hero not in variant.heroes:
        return asked, NO_WILD_ANIMALS
    return asked, stories.tell(rng, variant.heroes, is_wordy=variant.is_wordy, hero=hero)


Maker = Callable[[Variant, Random], Turn]

# How often each kind of question of the models' world is asked, as weights.
KINDS: Final[tuple[tuple[Maker, int], ...]] = (
    (_sum, 60), (_difference, 50), (_capital, 14), (_opposite, 12), (_spell, 36), (_sequence, 6), (_count, 3),
    (_colour, 3), (_sound, 3), (_fact, 5), (_disputed, 3), (_opinion, 4), (_identity, 8), (_greeting, 3),
    (_story, 11), (_wild_animal, 3),
)  # fmt: skip
_MAKERS: Final = tuple(maker for maker, weight in KINDS for _ in range(weight))


def known(variant: Variant, rng: Random) -> Turn:
    """A question of the models' world and its answer."""
    return rng.choice(_MAKERS)(variant, rng)
