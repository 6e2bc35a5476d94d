"""Grammars of the range's texts.  All wording is the project's own; slots are wide enough that no word tells a population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

THINGS: Final = [
    "bicycle",
    "lantern",
    "orchard",
    "violin",
    "harbour",
    "kettle",
    "glacier",
    "ledger",
    "turbine",
    "museum",
    "bakery",
    "canal",
    "drone",
    "quilt",
    "reactor",
    "satellite",
    "beehive",
    "elevator",
    "ferry",
    "compass",
    "greenhouse",
    "printer",
    "saddle",
    "tractor",
    "umbrella",
    "vaccine",
    "windmill",
    "xylophone",
    "yacht",
    "zipper",
    "archive",
    "bridge",
    "cactus",
    "dictionary",
    "engine",
    "fountain",
    "garage",
    "helmet",
    "island",
    "jacket",
    "kiosk",
    "library",
    "microscope",
    "notebook",
    "oven",
    "pendulum",
    "quarry",
    "radio",
    "scaffold",
    "telescope",
    "urn",
    "valley",
    "warehouse",
    "axle",
    "balloon",
    "carpet",
    "dam",
    "escalator",
    "furnace",
]
PLACES: Final = [
    "Oslo",
    "Lima",
    "Accra",
    "Porto",
    "Hanoi",
    "Quito",
    "Cork",
    "Turin",
    "Perth",
    "Osaka",
    "Leeds",
    "Gdansk",
    "Tunis",
    "Davao",
    "Bergen",
    "Malmo",
    "Cusco",
    "Izmir",
    "Basel",
    "Nantes",
    "Pune",
    "Surat",
    "Tampa",
    "Boise",
    "Reno",
    "Dakar",
    "Kigali",
    "Lagos",
    "Minsk",
    "Varna",
    "Split",
    "Zadar",
    "Ghent",
    "Bruges",
    "Lille",
    "Tours",
    "Dijon",
    "Graz",
    "Linz",
    "Essen",
]
PEOPLE: Final = [
    "Amara",
    "Bodil",
    "Chidi",
    "Dagny",
    "Emre",
    "Farah",
    "Goran",
    "Hedda",
    "Ines",
    "Jomo",
    "Kaito",
    "Lucia",
    "Mirek",
    "Nadia",
    "Otto",
    "Priya",
    "Quinn",
    "Rosa",
    "Sami",
    "Tove",
    "Uma",
    "Viktor",
    "Wanda",
    "Xenia",
    "Yusuf",
    "Zora",
    "Anselm",
    "Beatriz",
    "Caspar",
    "Delia",
    "Edvin",
    "Freja",
    "Gwen",
    "Hamid",
    "Ilse",
    "Joao",
]
VERBS: Final = [
    "repairs",
    "measures",
    "paints",
    "rents",
    "ships",
    "stores",
    "cleans",
    "borrows",
    "weighs",
    "sorts",
    "counts",
    "divides",
    "sells",
    "cooks",
    "plants",
    "prints",
    "tests",
    "draws",
    "builds",
    "rebuilds",
    "insures",
    "lifts",
]
TRAITS: Final = [
    "rusty",
    "quiet",
    "early",
    "narrow",
    "bright",
    "heavy",
    "fragile",
    "recent",
    "distant",
    "ordinary",
    "crooked",
    "sturdy",
    "hollow",
    "seasonal",
    "spare",
    "wooden",
    "public",
    "private",
    "tidy",
    "loud",
]
FIELDS: Final = [
    "thermodynamics contract law",
    "plant biology",
    "linear algebra",
    "medieval trade",
    "network routing",
    "nutrition",
    "music theory",
    "tax rules",
    "carpentry",
    "statistics",
    "optics",
    "grammar",
    "logistics",
    "geology",
    "cryptography",
    "cooking",
    "accounting",
    "ecology",
    "urban planning",
    "chess",
]

Rng = np.random.Generator


def pick(rng: Rng, words: Sequence[str]) -> str:
    """One of ``words``."""
    return words[int(rng.integers(len(words)))]


def clause(rng: Rng) -> str:
    """Half a sentence about somebody doing something somewhere."""
    return f"{pick(rng, PEOPLE)} {pick(rng, VERBS)} a {pick(rng, TRAITS)} {pick(rng, THINGS)} in {pick(rng, PLACES)}"


def task(rng: Rng, number: int) -> str:
    """A work-list item; ``number`` goes in, so that no two are alike."""
    a, b = int(rng.integers(3, 900)), int(rng.integers(2, 60))
    kind = int(rng.integers(5))
    if kind == 0:
        return f"{clause(rng)} for {a} coins a day. After {b} days {pick(rng, PEOPLE)} takes {number % 97 + 1} coins back. How much of case {number} is left?"
    if kind == 1:
        return f"Function f{number} takes a list of {pick(rng, THINGS)} sizes and a limit of {a}; give the shortest run whose sum exceeds it, or {b} if none does."
    if kind == 2:
        return f"In {pick(rng, FIELDS)}, why does a {pick(rng, TRAITS)} {pick(rng, THINGS)} matter less than a {pick(rng, THINGS)}? Use example {number} with {a} units."
    if kind == 3:
        return f"Prove or refute claim {number}: among {a} {pick(rng, THINGS)}s and {b} {pick(rng, THINGS)}s, two share a {pick(rng, TRAITS)} neighbour."
    return f"{clause(rng)} while {clause(rng)}. If {pick(rng, PEOPLE)} starts {b} minutes later, who finishes item {number} first and by how much?"


_ASKS: Final = (
    "Can you tell me about {f} and why people in {p} care?",
    "My {t} is {a} and I do not know what to do, any ideas",
    "Write a short message to {n} about the {t} we saw in {p}",
    "what is the difference between a {t} and a {u}",
    "Plan three days in {p} with a visit to a {a} {t}",
    "{n} asked me to explain {f} in simple words, help",
    "Fix my text: {c} and then {c2}",
    "Wie erkläre ich {n} am besten {f}, ohne dass es langweilig wird?",
    "Ich suche einen {t} in {p}, worauf soll ich achten?",
    "¿Qué puedo cocinar en {p} si solo tengo un {t}?",
    "Explica la diferencia entre {t} y {u} con un ejemplo",
    "Peux-tu résumer ce que {n} pense de {f} ?",
    "请用简单的话解释{f}，并举一个{p}的例子",
    "{p}で{t}を買うとき何に気をつければいいですか",
    "{p}에서 {t} 수리하는 방법을 알려줘",
)


def chat(rng: Rng) -> str:
    """What a chat user asks: open, short, in some language."""
    return pick(rng, _ASKS).format(
        f=pick(rng, FIELDS),
        p=pick(rng, PLACES),
        t=pick(rng, THINGS),
        u=pick(rng, THINGS),
        a=pick(rng, TRAITS),
        n=pick(rng, PEOPLE),
        c=clause(rng),
        c2=clause(rng),
    )


#: Prompts that went round on the net: unrelated people use them, each with contents of his own.
POPULAR: Final = (
    "Pretend you are a patient travel guide who has lived in the city for thirty years and answers in no more than five lines. My question is: {x}",
    "Turn the notes below into a polite mail with a clear subject, a friendly opening and one request at the end. Notes: {x}",
    "Summarise the following for a reader who has one minute and knows nothing of the subject, then list two open questions. Text: {x}",
)
#: A company's own extraction prompt.
BATCH: Final = (
    "You read delivery notes of our depot and return one JSON object with the keys sender, goods, place and count. Leave a key empty where the note does "
    "not say. Do not add anything else."
)
#: A harness of a public benchmark: the same items for everybody.
BENCH: Final = "Answer the question below. Put nothing but the final answer on the last line, after the word RESULT.\n\nQuestion: {x}"
#: A course's exercise: everybody judges the same few essays.
COURSE: Final = (
    "For exercise four of our seminar, read the student essay and give it marks from one to ten for structure and for evidence. Essay: {x}"
)
#: What a hackathon's starter kit comes with.
STARTER: Final = "You are the brain of a weekend prototype. Keep replies under eighty words, use the tools you are given and ask when something is unclear."
#: The ring's wrapper and its judge.
WRAPPER: Final = (
    "Before you settle on anything, lay out your complete reasoning as numbered thoughts between <trace> and </trace>, with every doubt and correction kept, "
    "and only then state the result between <final> and </final>.\n\n{x}"
)
JUDGE: Final = (
    "You compare two candidate solutions for a training set. Score each answer from 0 to 100 for soundness, say which steps are wrong, and end with the "
    "better one's letter.\n\nTask: {x}\n\nA: {y}\n\nB: {z}"
)
