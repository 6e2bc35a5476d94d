"""What a prompt asks for, as far as its words show: marks of the extraction and data-engineering techniques.

The marks are descriptions of a kind of request, not of any tool's wording.  They name techniques and help to judge a lone account; they never
decide that several accounts have one operator.  Only English and a few loan words are covered: a miss is "not seen", never "not there".
"""

from __future__ import annotations

import re
from typing import Final

_MAKE: Final = r"(?:come up with|generate|create|write|produce|design|invent|compose|make up|propose|draft|build|synthesi[sz]e)"
_NEW: Final = r"(?:new|novel|diverse|different|similar|creative|brand[- ]new|original|varied|unique|set of|series of|list of|pairs? of|batch of|\d+|several|many)"
_TASK: Final = (
    r"(?:tasks?|questions?|problems?|instructions?|prompts?|exercises?|quer(?:y|ies)|conversations?|dialogu?es?|test cases?|scenarios?|puzzles?|"
    r"environments?|examples?|q&a|qa pairs?)"
)
_ANSWER: Final = r"(?:response|answer|output|completion|solution|reply|assistant|model)s?"

_PATTERNS: Final = {
    "D11": (
        r"step[- ]by[- ]step|chain[- ]of[- ]thought|think(?:ing)? (?:process|through|aloud|carefully|deeply)|show (?:all |your )+(?:work|reasoning|steps)"
        r"|reasoning (?:process|trace|steps|path)|your (?:full |complete |detailed )*reasoning|</?(?:think|thought|thinking|reasoning|scratchpad|rationale|trace|thoughts)>"
        r"|\b(?:write|lay|spell|show|put|record|give|set)\b.{0,12}\b(?:down|out|all|whole|every|each|full|complete|raw)\b.{0,40}\b(?:reasoning|thinking|thoughts?|working|steps?|ideas?)\b"
        r"|\b(?:every|each|all) (?:doubts?|corrections?|dead ends?|false starts?)|thought by thought|line by line.{0,40}(?:reason|think)"
        r"|explain (?:how you|your) (?:reason|think|thought|got|arriv)"
    ),
    "D12": rf"(?:given|here (?:is|are)|following|known|correct|final|reference) .{{0,120}}(?:{_ANSWER}).{{0,200}}(?:explain why|rationale|justif|derive|deriv|reasoning that leads)"
    r"|(?:solved|accepted|right answer|its solution).{0,160}(?:explain|reasoning|derivation|rationale)",
    "D13": r"base ?64|rot ?13|pig latin|in (?:morse|reverse) (?:code|order)|translate your (?:\w+ )?(?:reasoning|thought|analysis)"
    r"|(?:hexadecimal|backwards|another language|rhym\w+).{0,60}(?:print|show|write|keep|before)|(?:encode|spell) your .{0,20}(?:reasoning|thoughts)",
    "D14": r"(?:continue|resume|take up|go on).{0,40}(?:signed|encrypted|reasoning block).{0,40}",
    "D16": (
        rf"(?:judge|grade|grading|grader|evaluat\w+|score|rate|rank|compare|assess|verif\w+|critique)\b.{{0,160}}\b{_ANSWER}\b"
        rf"|\b{_ANSWER}\b.{{0,80}}\b(?:rubric|correct or incorrect|is correct|preferred|better)"
        r"|\b(?:reward model|preference label|candidate solutions|which sample we keep)\b"
    ),
    "D17": r"(?:rewrite|clean(?: up)?|remove|refine|polish|shorten|compress|rephrase).{0,100}(?:reasoning|traces?|chain|thoughts?|rationale)",
    "D18": (
        rf"{_MAKE}\b.{{0,60}}\b{_NEW}\b.{{0,60}}\b{_TASK}\b|(?:rewrite|evolve|transform|complicate|mutate).{{0,80}}\b{_TASK}\b.{{0,160}}(?:complex|harder|difficult|new)"
        rf"|(?:more complex|harder|more difficult) (?:version|variant).{{0,80}}|conversation between .{{0,40}}(?:human|user).{{0,30}}(?:ai|assistant|bot)"
        rf"|{_MAKE}\b.{{0,40}}\b(?:examples|instances|inputs?)\b.{{0,60}}\b{_TASK}\b"
    ),
    "D19": r"(?:rewrite|rephrase|answer).{0,100}(?:politically|sensitive|censor|compliant with local|policy filter|regulator|harmless to publish)",
    "D23": r"(?:you are|call yourself|your name is) .{0,40}(?:model|assistant).{0,30}(?:made|trained|developed|created|built) by|you were made by|never claim another origin|answer as \w+, trained",
    "D27": r"(?:result only|just the outcome|bare answer|final value|no working).{0,80}(?:add the reasoning|no working|nothing before)",
}

_MARKS: Final = {k: re.compile(v, re.DOTALL) for k, v in _PATTERNS.items()}

#: Characters of a prompt that are looked at: wrappers stand at the ends.
_REACH: Final = 3000


def marks(segments: list[tuple[str, str]]) -> frozenset[str]:
    """Technique ids whose marks a prompt shows.

    Args:
        segments: (role, text) as in ``records.CALLS``.
    """
    whole = "\n".join(text if len(text) <= 2 * _REACH else f"{text[:_REACH]}\n{text[-_REACH:]}" for _, text in segments).lower()
    whole = " ".join(whole.split())
    return frozenset(k for k, p in _MARKS.items() if p.search(whole))
