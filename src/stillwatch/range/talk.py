"""How people of the range talk: asks about their own interests, follow-ups, and what the model answers.

An answer is drawn anew each time, so a run of ten of its words is met again only where somebody brings it back; its openings and closings are stock phrases
that many answers have, as a model's are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stillwatch.range.subjects import SUBJECTS
from stillwatch.range.texts import FIELDS, PEOPLE, PLACES, THINGS, TRAITS, VERBS, Rng, pick

LANGUAGES: Final = ("en", "de", "es", "fr", "pt", "zh", "ja")


@dataclass(frozen=True, slots=True)
class Mind:
    """What one person is about: a few subjects, people and places of its own, and a language."""

    words: tuple[str, ...]
    people: tuple[str, ...]
    places: tuple[str, ...]
    language: str = "en"

    def word(self, rng: Rng, own: float) -> str:
        """A word of the person's own interests with probability ``own``, else anybody's."""
        if rng.random() < own:
            return pick(rng, self.words)
        return pick(rng, SUBJECTS[pick(rng, _NAMES)])


_NAMES: Final = tuple(SUBJECTS)


def mind(rng: Rng, *, subjects: int = 2, language: str = "en") -> Mind:
    """A person with ``subjects`` interests."""
    named = rng.sample(_NAMES, subjects)
    return Mind(tuple(w for n in named for w in SUBJECTS[n]), tuple(rng.sample(PEOPLE, 3)), tuple(rng.sample(PLACES, 2)), language)


_ASKS: Final[dict[str, tuple[str, ...]]] = {
    "en": (
        "how do I deal with the {a} when {b} gets in the way", "what's wrong with my {a}?", "Explain {a} to me as if I had only heard of {b}.",
        "I need a short text about {a} for {n}, friendly but firm", "is {a} or {b} the better choice for somebody in {p}", "can you check this: {s}",
        "Give me five ideas for {a} that work with {b}", "my friend {n} says {a} is never needed, true?", "Plan my week: {a} on Monday, {b} later, free on Friday",
        "why does everybody in {p} talk about {a}", "{n} and I argue about {a}. {s} Who is right?", "Write a message to {n}: {s}", "compare {a} with {b} in a table",
        "what would you ask an expert about {a}?", "I have {k} euros for {a}, what do I do first", "Shorten this. {s} {s2}", "how long does {a} take, roughly",
        "make this sound less angry: {s}", "give me a checklist for {a} before I go to {p}", "what do I call it when {a} meets {b}?",
    ),
    "de": ("Wie gehe ich mit {a} um, wenn {b} dazwischenkommt?", "Schreib {n} eine kurze Nachricht wegen {a}.", "Was ist der Unterschied zwischen {a} und {b}?",
           "Ich brauche bis morgen einen Plan für {a} in {p}", "Warum klappt das mit {a} nie beim ersten Mal?", "Mach mir eine Liste: {a}, {b} und was noch fehlt"),
    "es": ("¿Cómo arreglo {a} si también tengo {b}?", "Escribe a {n} un mensaje corto sobre {a}", "¿Qué diferencia hay entre {a} y {b}?", "Necesito un plan para {a} en {p}",
           "dime tres errores típicos con {a}", "¿vale la pena {a} por {k} euros?"),
    "fr": ("Comment faire avec {a} quand {b} pose problème ?", "Écris à {n} un petit mot au sujet de {a}", "quelle différence entre {a} et {b}", "Il me faut un plan pour {a} à {p}",
           "donne-moi trois idées autour de {a}", "est-ce que {a} suffit pour {k} personnes ?"),
    "pt": ("como resolvo {a} quando {b} atrapalha?", "Escreve uma mensagem para {n} sobre {a}", "qual a diferença entre {a} e {b}?", "preciso de um plano para {a} em {p}",
           "me dá três dicas de {a}", "quanto custa {a} mais ou menos, tenho {k}"),
    "zh": ("{a}和{b}有什么区别？", "帮我给{n}写一条关于{a}的短信", "在{p}怎么准备{a}？", "关于{a}给我三个建议", "{a}坏了怎么办，预算{k}", "请用简单的话解释{a}"),
    "ja": ("{a}と{b}の違いは何ですか", "{n}に{a}のことで短いメッセージを書いて", "{p}で{a}を準備するには？", "{a}のコツを三つ教えて", "{a}がうまくいかない、予算は{k}円", "{a}を簡単に説明して"),
}  # fmt: skip
_FOLLOW: Final = (
    "shorter please", "and what about {a}?", "why?", "can you give an example with {a}", "that is not what I meant, I meant {a}", "ok thanks. now for {n}", "in a table", "hmm, {n} says otherwise",
    "are you sure about the second point", "what would change in {p}?", "make it friendlier", "continue", "and if {a} is not possible?", "which of these first", "more on {a}",
    "no, without {a}", "put it in bullet points", "great, and the costs?", "can I skip that part with {a}?", "translate that",
)  # fmt: skip
_BACK: Final = (
    "Earlier you wrote this, can you go on from there:\n\n{x}", "Please check the following for mistakes:\n\n{x}", "{x}\n\nmake this shorter",
    "I got this last week. Does it still hold with {a}?\n\n{x}", "Turn this into a mail to {n}:\n\n{x}", 'what did you mean by this: "{x}"',
)  # fmt: skip
_SAYS: Final = (
    "{n} {v} the {a} before anybody in {p} asks about {b}", "a {w} {a} is worth {k} times the {t} that {n} {v}", "with {a}, {k} out of {j} people in {p} forget the {b}",
    "the {a} {v} whatever {n} left of the {w} {t}", "for {b} one {v} a {t} and waits {k} days", "{p} has {w} rules on {a}, so {n} keeps the {b} apart", "the {w} part of {a} is the {b}, not the {t}",
    "{n} once put {k} {t}s beside the {a} and lost the {b}", "after {j} weeks the {b} looks {w} while {a} holds", "in {f} they would call this {a} {w}", "neither {b} nor a {t} helps {n} with {a}",
    "start from {a} and leave {k} minutes for {b} in {p}", "{a} comes first, {n}'s {t} second, and {b} last", "whoever {v} {a} in {p} pays {k} for a {w} {t}",
)  # fmt: skip
_OPEN: Final = (
    "", "", "", "", "Sure.", "Good question!", "Yes, with one exception.", "Short answer: it depends on what you already have and how much time you want to spend on it.",
    "Here is a short overview with the points that matter most in practice for a beginner:", "Of course! Here is a version that you can use as it is or change to taste:",
)  # fmt: skip
_CLOSE: Final = (
    "", "", "", "Let me know how it goes.", "If you would like, I can go into more detail on any of these points or put them into a table.",
    "Please note that this is general information and does not replace the advice of a qualified professional in your area.", "Does that help?",
)  # fmt: skip


def says(rng: Rng, of: Mind, own: float = 0.7) -> str:
    """Half a sentence of somebody's text or of an answer."""
    return pick(rng, _SAYS).format(
        n=pick(rng, PEOPLE), v=pick(rng, VERBS), a=of.word(rng, own), b=of.word(rng, own), w=pick(rng, TRAITS), t=pick(rng, THINGS), p=pick(rng, PLACES),
        f=pick(rng, FIELDS), k=rng.randrange(2, 90), j=rng.randrange(90, 400),
    )  # fmt: skip


def passage(rng: Rng, of: Mind, sentences: int, own: float = 0.7) -> str:
    """A text of so many sentences, never the same twice."""
    out = []
    for _ in range(sentences):
        first = says(rng, of, own)
        if rng.random() < 0.4:
            first = f"{first}, {pick(rng, ('and', 'but', 'because', 'although', 'so that'))} {says(rng, of, own)}"
        out.append(f"{first[0].upper()}{first[1:]}.")
    return " ".join(out)


def ask(rng: Rng, of: Mind, own: float) -> str:
    """A first message; ``own`` is the share of words of the person's own interests."""
    language = of.language if rng.random() < 0.9 else "en"
    return pick(rng, _ASKS[language]).format(
        a=of.word(rng, own), b=of.word(rng, own), n=pick(rng, of.people), p=pick(rng, of.places), k=rng.randrange(5, 900),
        s=passage(rng, of, 1, own), s2=passage(rng, of, 1, own),
    )  # fmt: skip


def follow_up(rng: Rng, of: Mind, own: float) -> str:
    """What is said to an answer."""
    return pick(rng, _FOLLOW).format(a=of.word(rng, own), n=pick(rng, of.people), p=pick(rng, of.places))


def back(rng: Rng, of: Mind, answer: str) -> str:
    """A message that brings an earlier answer back."""
    return pick(rng, _BACK).format(a=pick(rng, of.words), n=pick(rng, of.people), x=answer)


def answer(rng: Rng, of: Mind | None = None) -> str:
    """What the model answers, in words of its own: 30 to 110 of them."""
    of = of or mind(rng)
    body = passage(rng, of, rng.randrange(2, 6))
    return " ".join(part for part in (pick(rng, _OPEN), body, pick(rng, _CLOSE)) if part)
