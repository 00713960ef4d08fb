"""The words of the models' world: who lives in a story, what there is to find, and what can be spelled."""

from typing import Final

HE: Final = ("Tom", "Ben", "Sam", "Max", "Leo", "Jack", "Tim", "Finn", "Omar", "Noah")
SHE: Final = ("Lily", "Anna", "Mia", "Sue", "Zoe", "Lucy", "Emma", "Rosa", "Nina", "Ada")

TAME: Final = ("dog", "cat", "rabbit", "duck", "horse", "cow", "sheep", "bee", "pony", "goat", "goose", "hen")
WILD: Final = ("fox", "bear", "wolf", "owl", "frog", "mouse", "squirrel", "hedgehog", "turtle", "lion")

ANIMAL_PLURALS: Final = {
    animal: {
        "sheep": "sheep",
        "goose": "geese",
        "wolf": "wolves",
        "mouse": "mice",
        "fox": "foxes",
        "pony": "ponies",
    }.get(animal, f"{animal}s")
    for animal in (*TAME, *WILD)
}

OBJECTS: Final = tuple(
    "ball kite hat boat book cup box key lamp drum doll coat bell map coin ring basket scarf bike cake apple "
    "flower stone".split()
)
COLOURS: Final = ("red", "blue", "green", "yellow", "white", "black", "brown", "pink", "orange", "purple")
SIZES: Final = ("big", "small", "tiny", "old", "new", "shiny", "soft", "pretty", "funny", "round")
TRAITS: Final = (
    "kind",
    "brave",
    "clever",
    "quiet",
    "happy",
    "shy",
    "gentle",
    "curious",
    "careful",
    "cheerful",
)
PLACES: Final = (
    "in the park", "in the garden", "at the beach", "in the forest", "on the farm", "at the lake",
    "in the kitchen", "at school", "on the hill", "in the market", "by the river", "in the village",
    "in the barn", "in the library", "in the yard",
)  # fmt: skip
HIDDEN: Final = (
    "under a tree", "behind a rock", "under the bed", "in the tall grass", "behind the door", "in a hole",
    "near the fence", "under a bench", "in a bush", "on the roof", "next to the pond", "behind the house",
)  # fmt: skip
WEATHER: Final = (
    "The sun was bright and warm.", "The rain fell on the roof.", "The wind was strong.",
    "There was snow on the ground.", "The air was hot.", "The sky was grey.",
)  # fmt: skip
FOOD: Final = (
    "bread",
    "soup",
    "an apple",
    "a cookie",
    "some cheese",
    "a pear",
    "a carrot",
    "some honey",
    "rice",
)
KIN: Final = ("mother", "father", "sister", "brother", "grandmother", "grandfather", "teacher")
SKILLS: Final = ("swim", "sing", "read", "dance", "fly a kite", "ride a bike", "draw", "climb a tree")
BUILDINGS: Final = ("a house", "a boat", "a bridge", "a nest", "a tower", "a snowman", "a hive")

# Words that are only spelled; which of all words are never trained is `spelling.is_held_out`.
SPELLED: Final = tuple(
    "table chair window door house garden water bread sugar salt pepper milk butter cheese honey lemon orange "
    "banana cherry peach plum grape tomato potato onion carrot bean corn rice soup spoon fork knife plate glass "
    "bottle paper pencil letter number word story music song dance game puzzle mirror candle carpet curtain pillow "
    "blanket towel soap brush comb shirt shoe sock glove jacket button pocket belt train truck wagon wheel engine "
    "bridge road street corner market village city river lake ocean island beach mountain valley forest desert cloud "
    "storm thunder rain snow wind sun moon star planet morning evening night winter spring summer autumn monday "
    "friday januar hammer nail saw rope ladder bucket shovel rake seed leaf root branch trunk grass rose tulip daisy "
    "tiger monkey zebra camel snake lizard spider ant butterfly eagle parrot penguin dolphin whale shark teacher "
    "doctor farmer baker sailor painter king queen prince knight friend sister brother mother father baby child "
    "people family school class lesson answer question happy quick brown jump lazy little yellow purple silver "
    "golden wooden heavy bright clever simple gentle honest machine computer network signal proof receipt ticket "
    "penny dollar market basket bottle planet kitchen chicken rocket pickle dragon castle giant magic treasure".split()
)


def article(word: str) -> str:
    """ " "a box", "an owl"."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def sentence_case(text: str) -> str:
    """`text` with its first letter large."""
    return text[:1].upper() + text[1:]
