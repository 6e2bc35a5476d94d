"""What a prompt asks for, as far as its words show: marks of the extraction and data-engineering techniques.

The marks are descriptions of a kind of request, not of any tool's wording.  They name techniques and help to judge a lone account; they never
decide that several accounts have one operator.  Only English and a few loan words are covered: a miss is "not seen", never "not there".
"""

from __future__ import annotations

import re
from typing import Final

_MAKE: Final = "come up with|generate|create|write|produce|design|invent|compose|make up|propose|draft|build|synthesise|synthesize"
_NEW: Final = r"(?:new|novel|diverse|different|similar|creative|brand[- ]new|original|varied|unique|set of|series of|list of|pairs? of|batch of|\d+|several|many)"
_TASK: Final = (
    r"(?:tasks?|questions?|problems?|instructions?|prompts?|exercises?|quer(?:y|ies)|conversations?|dialogu?es?|test cases?|scenarios?|puzzles?|"
    r"environments?|examples?|q&a|qa pairs?)"
)
_ANSWER: Final = r"(?:response|answer|output|completion|solution|reply|assistant|model)s?"
_THOUGHT: Final = r"(?:reasoning|traces?|chain|thoughts?|rationale)"


def _each(words: str, then: str) -> tuple[str, ...]:
    """A pattern for each word: one that begins with letters is looked for many times as fast as a choice of beginnings."""
    return tuple(word + then for word in words.split("|"))


#: Any of a technique's patterns shows it.
_PATTERNS: Final[dict[str, tuple[str, ...]]] = {
    "D11": (
        r"step[- ]by[- ]step",
        r"chain[- ]of[- ]thought",
        r"think(?:ing)? (?:process|through|aloud|carefully|deeply)",
        r"show (?:all |your )+(?:work|reasoning|steps)",
        r"reasoning (?:process|trace|steps|path)",
        r"your (?:full |complete |detailed )*reasoning",
        r"</?(?:think|thought|thinking|reasoning|scratchpad|rationale|trace|thoughts)>",
        r"\b(?:write|lay|spell|show|put|record|give|set)\b.{0,12}\b(?:down|out|all|whole|every|each|full|complete|raw)\b.{0,40}\b(?:reasoning|thinking|thoughts?|working|steps?|ideas?)\b",
        r"\b(?:all|whole|every|each|full|entire|complete|uncut|raw)\b.{0,24}\b(?:derivations?|deliberations?|deductions?|inner (?:notes|monologue)|train of thought"
        r"|chain of steps|path to (?:it|(?:the|your) (?:answer|solution|result))|scratch ?work|reasoning|thinking|thoughts)\b",
        r"(?:full|entire|complete|whole) working\b",
        *_each("every|each|all", r" (?:doubts?|corrections?|dead ends?|false starts?)"),
        r"thought by thought",
        r"line by line.{0,40}(?:reason|think)",
        r"explain (?:how you|your) (?:reason|think|thought|got|arriv)",
    ),
    "D12": (
        *_each(
            "given|here is|here are|following|known|correct|final|reference",
            rf" .{{0,120}}(?:{_ANSWER}).{{0,200}}(?:explain why|rationale|justif|derive|deriv|reasoning that leads)",
        ),
        *_each("solved|accepted|right answer|its solution", r".{0,160}(?:explain|reasoning|derivation|rationale)"),
    ),
    "D13": (
        r"base ?64",
        r"rot ?13",
        r"pig latin",
        r"in (?:morse|reverse) (?:code|order)",
        r"translate your (?:\w+ )?(?:reasoning|thought|analysis)",
        *_each("hexadecimal|backwards|another language", r".{0,60}(?:print|show|write|keep|before)"),
        r"rhym\w+.{0,60}(?:print|show|write|keep|before)",
        *_each("encode|spell", r" your .{0,20}(?:reasoning|thoughts)"),
    ),
    "D14": _each("continue|resume|take up|go on", r".{0,40}(?:signed|encrypted|reasoning block)"),
    "D16": (
        *_each(r"judge|grade|grading|grader|evaluat\w+|score|rate|rank|compare|assess|verif\w+|critique", rf"\b.{{0,160}}\b{_ANSWER}\b"),
        rf"\b{_ANSWER}\b.{{0,80}}\b(?:rubric|correct or incorrect|is correct|preferred|better)",
        r"\b(?:reward model|preference label|candidate solutions|which sample we keep)\b",
    ),
    "D17": _each(r"rewrite|clean(?: up)?|remove|refine|polish|shorten|compress|rephrase", rf".{{0,100}}{_THOUGHT}"),
    "D18": (
        *_each(_MAKE, rf"\b.{{0,60}}\b{_NEW}\b.{{0,60}}\b{_TASK}\b"),
        *_each("rewrite|evolve|transform|complicate|mutate", rf".{{0,80}}\b{_TASK}\b.{{0,160}}(?:complex|harder|difficult|new)"),
        *_each("more complex|harder|more difficult", r" (?:version|variant)"),
        r"conversation between .{0,40}(?:human|user).{0,30}(?:ai|assistant|bot)",
        *_each(_MAKE, rf"\b.{{0,40}}\b(?:examples|instances|inputs?)\b.{{0,60}}\b{_TASK}\b"),
    ),
    "D19": _each("rewrite|rephrase|answer", r".{0,100}(?:politically|sensitive|censor|compliant with local|policy filter|regulator|harmless to publish)"),
    "D23": (
        *_each("you are|call yourself|your name is", r" .{0,40}(?:model|assistant).{0,30}(?:made|trained|developed|created|built) by"),
        r"you were made by",
        r"never claim another origin",
        r"answer as \w+, trained",
    ),
    "D27": _each("result only|just the outcome|bare answer|final value|no working", r".{0,80}(?:add the reasoning|no working|nothing before)"),
}  # fmt: skip

_MARKS: Final = {k: tuple(re.compile(p, re.DOTALL) for p in patterns) for k, patterns in _PATTERNS.items()}
#: What can be told by its marks.
TECHNIQUES: Final = tuple(_MARKS)
_ANSWERS: Final = ("response", "answer", "output", "completion", "solution", "reply", "assistant", "model")
_TASKS: Final = (
    "task", "question", "problem", "instruction", "prompt", "exercise", "quer", "conversation", "dialog", "test case", "scenario", "puzzle", "environment",
    "example", "q&a", "qa pair", "version", "variant",
)  # fmt: skip
#: What a text must hold for a technique to be looked for at all, of each tuple at least one.
_CUES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "D12": (("explain", "rationale", "justif", "deriv", "reasoning"), (*_ANSWERS, "solved", "accepted")),
    "D14": (("signed", "encrypted", "reasoning block"),),
    "D16": ((*_ANSWERS, "preference label", "which sample we keep"),),
    "D17": (("reasoning", "trace", "chain", "thought", "rationale"),),
    "D18": (_TASKS,),
    "D19": (("politically", "sensitive", "censor", "compliant with local", "policy filter", "regulator", "harmless to publish"),),
    "D23": (("made by", "trained", "developed by", "created by", "built by", "never claim another origin"),),
    "D27": (("add the reasoning", "no working", "nothing before"),),
}  # fmt: skip

#: Characters of a prompt that are looked at: wrappers stand at the ends.
_REACH: Final = 3000


def marks(segments: list[tuple[str, str]]) -> frozenset[str]:
    """Technique ids whose marks a prompt shows.

    Args:
        segments: (role, text) as in ``records.CALLS``.
    """
    whole = "\n".join(text if len(text) <= 2 * _REACH else f"{text[:_REACH]}\n{text[-_REACH:]}" for _, text in segments).lower()
    whole = " ".join(whole.split())
    return frozenset(k for k, patterns in _MARKS.items() if _may(whole, _CUES.get(k, ())) and any(p.search(whole) for p in patterns))


def _may(text: str, cues: tuple[tuple[str, ...], ...]) -> bool:
    return all(any(cue in text for cue in some) for some in cues)
