"""Is it a harvest?  What the members' prompts ask for: how many different items, dealt from one list or people's own, ordinary or not.

The deck: people have interests, so two prompts of one person are more alike than two of different people; items dealt from a list to accounts are not.
The mean similarity within accounts is compared with the same calls dealt anew at random, in standard deviations of that dealing (a permutation test;
Fisher 1935).  What all prompts of the group have in common (a template), and what nearly all prompts of one account have (a wording of its own), is
taken out first, for neither is an interest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: Different texts that a harvest has at least.
MIN_TEXTS: Final = 60
#: Pairs of prompts of one account below which interests cannot be judged, and below which only a clear answer counts.
MIN_PAIRS: Final = 30
MANY_PAIRS: Final = 150
#: Standard deviations from which accounts have interests of their own, and up to which the items are dealt.
INTERESTS: Final = 4.0
DEALT: Final = 3.0
DEALT_OF_FEW: Final = 1.0
#: Prompts are ordinary where their likeness to other customers' prompts is above this quantile of those customers' own.
ORDINARY: Final = 0.2
#: Words in a row that make a phrase.
PHRASE: Final = 4
#: Prompts of a group that are looked at.
SAMPLE: Final = 480
_DEALINGS: Final = 30
_ROOM: Final = 1 << 20
#: A word is a run of letters and digits; a character of a script without spaces is one by itself.
_WORD: Final = re.compile(r"[぀-ヿ㐀-鿿豈-﫿฀-๿ༀ-࿿က-႟ក-៿]|[^\W_]+")

Words = NDArray[np.int64]


def words_of(text: str) -> Words:
    """Hashes of the words of a prompt, in their order; the same in every process."""
    found = _WORD.findall(text.lower()[:20_000])
    return np.fromiter(map(_word, found), np.int64, len(found))


@lru_cache(maxsize=1 << 17)
def _word(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=4).digest(), "little") % _ROOM


def without_phrases(prompts: Sequence[Words], who: NDArray[np.int64]) -> list[Words]:
    """The prompts without phrases that come back in an account's prompts: a wrapper of its own is no interest.

    A phrase is ``PHRASE`` words in a row; it comes back if it stands in at least three of the account's prompts and in a fifth of them.

    Args:
        prompts: words in their order.
        who: [prompts] account codes from 0.
    """
    sizes = np.array([len(p) for p in prompts], np.int64)
    if not sizes.sum():
        return list(prompts)
    words, of = np.concatenate(prompts), np.repeat(np.arange(len(prompts)), sizes)
    n = len(words) - PHRASE + 1
    if n < 1:
        return list(prompts)
    grams = np.zeros(n, np.uint64)
    for i in range(PHRASE):
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + words[i : i + n].astype(np.uint64)
    at = np.flatnonzero(of[:n] == of[PHRASE - 1 :])  # phrases do not reach over the end of a prompt
    phrase = np.unique(grams[at], return_inverse=True)[1].astype(np.int64)
    count = int(phrase.max(initial=0)) + 1
    seen = np.unique(of[at] * count + phrase)  # each phrase once a prompt
    own, often = np.unique(who[seen // count] * count + seen % count, return_counts=True)
    sent = np.bincount(who)
    standing = own[often >= np.maximum(3, 0.2 * sent[own // count])]
    hit = at[np.isin(who[of[at]] * count + phrase, standing)]
    keep = np.ones(len(words), bool)
    for i in range(PHRASE):
        keep[hit + i] = False
    ends = np.cumsum(np.bincount(of[keep], minlength=len(prompts)))
    return np.split(words[keep], ends[:-1])


@dataclass(frozen=True, slots=True)
class Background:
    """Other customers' prompts: ``idf`` [_ROOM] weight of each word, ``words`` [_ROOM, prompts] of them, ``likeness`` of each to its nearest others."""

    idf: NDArray[np.float64]
    words: csr_array
    likeness: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Harvest:
    """What the prompts of a group's members are like.

    ``sigma`` is None where too few accounts sent several prompts, ``pairs`` how many pairs it rests on; ``likeness`` the quantile among other customers, None without any to compare with.
    ``mark`` is the technique that stands out most, with its share here and usually.
    """

    texts: int  # distinct
    sigma: float | None
    likeness: float | None
    pairs: int = 0
    mark: str = ""
    shown: float = 0.0
    usual: float = 0.0

    @property
    def dealt(self) -> bool:
        """Whether nobody has interests of his own."""
        return self.sigma is not None and self.sigma <= (DEALT if self.pairs >= MANY_PAIRS else DEALT_OF_FEW)

    @property
    def own(self) -> bool:
        """Whether the accounts have interests of their own, ordinary or not."""
        return self.sigma is not None and self.sigma >= INTERESTS

    @property
    def mixed(self) -> bool:
        """Whether items dealt to the accounts would hardly look like this: one dealing in a thousand would."""
        return self.sigma is not None and self.sigma > DEALT

    @property
    def clear(self) -> bool:
        """Whether the items are dealt beyond doubt."""
        return self.sigma is not None and self.sigma <= DEALT_OF_FEW

    @property
    def interests(self) -> bool:
        """Whether the accounts have interests of their own and ask what other customers ask."""
        return self.own and self.likeness is not None and self.likeness >= ORDINARY

    @property
    def training(self) -> bool:
        """Whether the prompts ask for training material far more than usual."""
        return bool(self.mark) and self.shown >= 0.2 and self.shown >= 3 * max(self.usual, 0.01)

    @property
    def answered(self) -> bool:
        """Whether it is a harvest: enough different items, and not people with interests; where those cannot be judged the words must say so."""
        if self.texts < MIN_TEXTS or self.interests:
            return False
        return self.sigma is not None or self.training


def background(prompts: Sequence[Words]) -> Background:
    """What other customers' prompts are like, from a sample of one each."""
    count = np.zeros(_ROOM)
    for p in prompts:
        count[np.unique(p)] += 1
    idf = np.log((len(prompts) + 1) / (count + 1))
    vectors = _unit(_matrix(prompts), idf)
    words = vectors.T.tocsr()
    return Background(idf, words, _nearest((vectors @ words).toarray() - np.eye(len(prompts))) if len(prompts) else np.zeros(0))


def _matrix(prompts: Sequence[Words]) -> csr_array:
    """Which words stand in each prompt."""
    prompts = [np.unique(p) for p in prompts]
    ends = np.cumsum([0, *(len(p) for p in prompts)])
    columns = np.concatenate(prompts) if prompts else np.zeros(0, np.int64)
    return csr_array((np.ones(len(columns)), columns, ends), shape=(len(prompts), _ROOM))


def _unit(m: csr_array, weights: NDArray[np.float64]) -> csr_array:
    """Rows weighted by word and brought to length 1."""
    m = csr_array((m.data * weights[m.indices], m.indices, m.indptr), shape=m.shape)
    length = np.sqrt(np.bincount(np.repeat(np.arange(m.shape[0]), np.diff(m.indptr)), m.data**2, m.shape[0]))
    length[length == 0] = 1.0
    return csr_array((m.data / np.repeat(length, np.diff(m.indptr)), m.indices, m.indptr), shape=m.shape)


def _nearest(likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the three greatest in each row."""
    if not likeness.size:
        return np.zeros(likeness.shape[0])
    top = min(3, likeness.shape[1])
    out: NDArray[np.float64] = np.partition(likeness, -top, axis=1)[:, -top:].mean(axis=1)
    return out


def _own(m: csr_array, who: NDArray[np.int64]) -> csr_array:
    """The prompts without the group's template and without each account's standing words."""
    rows, accounts = m.shape[0], int(who.max()) + 1
    _, word, times = np.unique(m.indices, return_inverse=True, return_counts=True)
    common = times[word] > max(2.0, 0.2 * rows)
    sent = np.bincount(who, minlength=accounts)
    of = np.repeat(who, np.diff(m.indptr))
    _, at = np.unique(of.astype(np.int64) * _ROOM + m.indices, return_inverse=True)
    often = np.bincount(at)[at]
    standing = (sent[of] >= 4) & (often > 0.6 * sent[of])
    keep = ~common & ~standing
    lengths = np.bincount(np.repeat(np.arange(rows), np.diff(m.indptr))[keep], minlength=rows)
    return csr_array((m.data[keep], m.indices[keep], np.r_[0, np.cumsum(lengths)]), shape=m.shape)


def deck(m: csr_array, who: NDArray[np.int64], rng: np.random.Generator) -> float | None:
    """How far the likeness within accounts is above that of the same calls dealt anew, in standard deviations; None for too few pairs.

    Args:
        m: [prompts, words] rows of length 1 (or 0).
        who: [prompts] account codes from 0.
    """
    sent = np.bincount(who)
    if (sent * (sent - 1)).sum() / 2 < MIN_PAIRS or (sent > 1).sum() < 3:
        return None
    shown, columns = np.unique(m.indices, return_inverse=True)
    m = csr_array((m.data, columns, m.indptr), shape=(m.shape[0], len(shown)))
    alike = (m @ m.T).toarray()

    def likeness(of: NDArray[np.int64]) -> float:
        # The prompts' likeness to themselves is the same in every dealing.
        return float(alike[of[:, None] == of].sum())

    dealt = np.array([likeness(rng.permutation(who)) for _ in range(_DEALINGS)])
    return float((likeness(who) - dealt.mean()) / max(float(dealt.std(ddof=1)), 1e-9))


def examine(
    prompts: Sequence[Words],
    who: NDArray[np.int64],
    texts: int,
    others: Background,
    rng: np.random.Generator,
    marked: tuple[str, float, float] = ("", 0.0, 0.0),
) -> Harvest:
    """Look at a sample of a group's prompts.

    Args:
        prompts: words of each.
        who: [prompts] account of each.
        texts: distinct texts of the whole stream.
        others: prompts of customers outside the group.
        marked: the technique that stands out most, its share here and usually.
    """
    if not len(prompts):
        return Harvest(texts, None, None, 0, *marked)
    codes = np.unique(who, return_inverse=True)[1]
    mine = _unit(_own(_matrix(without_phrases(prompts, codes)), codes), others.idf)
    sigma = deck(mine, codes, rng)
    likeness = None
    if others.words.shape[1] >= 20:
        median = float(np.median(_nearest((mine @ others.words).toarray())))
        likeness = float((others.likeness < median).mean())
    sent = np.bincount(codes)
    return Harvest(texts, sigma, likeness, int((sent * (sent - 1)).sum()) // 2, *marked)
