"""Which texts are no texts: what a gateway writes in the place of a prompt that it does not log.

Read as words such a placeholder would be a template that unrelated accounts share.  The reasons are constant phrases, which are counted.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "prompt redacted by the gateway"
DIGEST: Final = "a digest in the place of the prompt"
NOT_STORED: Final = "prompt not stored"
MEDIA_ONLY: Final = "image, audio or file without words"
TOKENS_ONLY: Final = "token ids without words"
UNREADABLE: Final = "a form without readable text"
#: Every reason for which a call holds no text.
REASONS: Final = (REDACTED, DIGEST, NOT_STORED, MEDIA_ONLY, TOKENS_ONLY, UNREADABLE)

#: Longer texts are never placeholders, so that the usual prompt costs one comparison.
LONGEST: Final = 160

_VERB: Final = r"(?:redacted|masked|withheld|omitted|scrubbed|sanitized|sanitised|hidden|removed|filtered|suppressed|anonymi[sz]ed)"
_KIND: Final = r"(?:user|client|llm|input|request|message|prompt|chat)"
_NOUN: Final = rf"(?:the )?(?:{_KIND} )?(?:contents?|messages?|prompts?|input|text|request|body|data)"
#: Few words may follow: a prompt must not hide behind such a beginning.
_TAIL: Final = r"(?: (?:by|for|per|due|because|from|under|at|in|as)(?: \S+){1,4})?"
_WORDS: Final = re.compile(
    rf"redacted(?: {_NOUN})?{_TAIL}|(?:{_NOUN}|value) (?:(?:is|was|were|are|has been|have been) )?(?:{_VERB}|not (?:logged|stored|recorded|available)){_TAIL}"
)
_UNSET: Final = frozenset(("default message value", "object object"))
#: In brackets one word is a sign; alone it may be a prompt.
_SIGN: Final = re.compile(
    rf"(?:\w+ ){{0,3}}{_VERB}(?: \w+){{0,4}}"
    r"|(?:input )?(?:image|audio|video|file|document|picture|photo|attachment)s?(?: url)?|media|binary(?: data)?"
)
_MASKS: Final = "*•·●█▇■▪#_-"
_MASK: Final = re.compile(rf"[{re.escape(_MASKS)}xX\s]{{3,}}")
_HEX: Final = re.compile(r"(?:0x)?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?:hmac[-_:]?)?(?:sha[-_]?\d{1,3}(?:[-_/]\d{3})?|md5|blake[23][bs]?(?:[-_]?\d+)?|xxh\w*|hash|digest)[-:=\s$]+[\w+/=-]{16,}",
    re.IGNORECASE,
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=")
#: The first four letters of every placeholder that begins with a letter; the usual prompt is told from one by this look.
HEADS: Final = frozenset(
    (
        "reda", "the ", "user", "clie", "llm ", "llm-", "llm_", "inpu", "requ", "mess", "prom", "chat", "cont", "text", "body", "data", "valu", "defa",
        "obje", "xxx", "xxxx", "xxx ", "sha1", "sha2", "sha3", "sha5", "sha-", "sha_", "md5:", "md5-", "md5=", "md5 ", "hmac", "blak", "hash", "dige",
    )
)  # fmt: skip
_OPEN: Final = "[<({*_|"
_SEPARATORS: Final = str.maketrans("_-:", "   ")
_EDGE: Final = "[]<>(){}*_|\"'`.…:#- \t\r\n"
#: LiteLLM writes this into a long text when it cuts it; the note in it would be a template of all who write at length.
_CUT: Final = re.compile(r"(?:\.\.\. ?)?\(litellm_truncated\b[^()]*(?:\([^()]*\)[^()]*)*\)(?: ?\.\.\.)?")
CUT_MARK: Final = "litellm_truncated"


def reason(text: str) -> str | None:
    """Return why a text is a placeholder; None for a text that somebody wrote.

    >>> reason("redacted-by-litellm") == reason("[REDACTED]") == reason("*** prompt redacted ***") == reason("***") == REDACTED
    True
    >>> reason("sha256:" + 64 * "0") == reason(32 * "ab") == DIGEST
    True
    >>> [reason(t) for t in ("hidden", "What does [REDACTED] mean?", "Redacted documents: how are they made?", "")]
    [None, None, None, None]
    """
    if len(text) > LONGEST:
        return None
    if text[:4].lower() not in HEADS:
        first = text[:1]
        if first.isalnum():
            if len(text) < 16 or not text.isascii() or text.find(" ", 0, 16) >= 0:
                return None  # neither a phrase of ours nor a digest
        elif first not in _EDGE and first not in _MASKS:
            return None
    plain = text.strip()
    if not plain:
        return None
    if _HEX.fullmatch(plain) or _NAMED.fullmatch(plain) or _BASE64.fullmatch(plain):
        return DIGEST
    if _MASK.fullmatch(plain):
        return REDACTED
    core = " ".join(plain.translate(_SEPARATORS).strip(_EDGE).casefold().split())
    if core in _UNSET:
        return NOT_STORED
    if _WORDS.fullmatch(core):
        return REDACTED
    if plain[0] in _OPEN and (sign := _SIGN.fullmatch(core)):
        return REDACTED if re.search(_VERB, sign[0]) else MEDIA_ONLY
    return None


def uncut(text: str) -> str:
    """Return a text without the notes that LiteLLM wrote where it cut the text.

    >>> uncut("head... (litellm_truncated skipped 12 chars. Full data is logged to callbacks (OTEL, Datadog, etc.). Set X.) ...tail")
    'head\\n\\ntail'
    """
    return _CUT.sub("\n\n", text)
