"""Look for personal data and secrets in the one kind of text that may ever leave, a template's fixed words."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_MARKS: Final = (
    ("an e-mail address", re.compile(r"\S+@\S+|\S+\s*(?:\(at\)|\[at\])\s*\S+", re.I)),
    ("a web address", re.compile(r"\w+://|www\.|\b[\w-]+\.(?:com|org|net|io|ai|dev|cn|example)\b", re.I)),
    ("a long number", re.compile(r"\d(?:[\s().,_/-]*\d){4,}")),
    ("an amount of money", re.compile(r"[$€£¥₹]\s*\d|\d\s*(?:[$€£¥₹]|\b(?:usd|eur|gbp|cny|dollars?|euros?)\b)", re.I)),
    ("a key or token", re.compile(r"\b(?:sk|pk|ghp|xox[abp]|AKIA|AIza|eyJ)[-_A-Za-z0-9]{6,}|-----BEGIN|bearer\s+\S{8,}", re.I)),
    ("an address on the internet", re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9a-f]{1,4}:){3,}[0-9a-f:]*", re.I)),
    ("a person's title and name", re.compile(r"\b(?:mr|mrs|ms|dr|prof|herr|frau|sr|sra|mme)\.?\s+[A-Z]\w+", re.I)),
    ("a greeting or signature with a name", re.compile(r"\b(?:my name is|i am|dear|regards|sincerely)[,\s]+[A-Z]\w+", re.I)),
)
_CODED: Final = re.compile(r"[A-Za-z0-9+/_=-]{16,}")


def findings(text: str) -> tuple[str, ...]:
    """What the text holds that must not leave; empty when the scan is clean.

    Text is scanned as written and in NFKC, so that full-width digits and letters are seen; letters of more than one script within a word, invisible
    characters and words that look coded are findings of their own.
    """
    folded = unicodedata.normalize("NFKC", text)
    found = [what for what, mark in _MARKS if mark.search(text) or mark.search(folded)]
    if any(unicodedata.category(c) in ("Cf", "Co", "Cn", "Cc") and c not in "\n\t" for c in text):
        found.append("an invisible character")
    if folded != text:
        found.append("characters in a compatibility form")
    if any(len({_script(c) for c in word if c.isalpha()}) > 1 for word in folded.split()):
        found.append("letters of several scripts in one word")
    if any(len(word) >= 24 or not word.isalpha() or word[1:] != word[1:].lower() for word in _CODED.findall(folded)):
        found.append("a coded word")
    return tuple(found)


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN").split(" ")[0]
    return "CJK" if name in ("HIRAGANA", "KATAKANA", "CJK", "HANGUL") else name
