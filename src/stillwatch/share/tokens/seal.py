"""Blinded traits as a member makes them: tag, share of the seal's key and sealed context; and how t of them are opened.

A member turns the OPRF's output for a trait into a tag, a share and a sealed context (STAR: Davidson et al., CCS 2022, arXiv 2109.10074).  Everybody who holds
the same trait makes the same tag and a point of the same polynomial of degree t - 1; t points open the seal.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256, sha512
from itertools import combinations, islice
from typing import Any, Final
from uuid import UUID, uuid5

import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from stillwatch.share.release import Release, Token, to_plain
from stillwatch.share.release.document import MAX_TOKENS, NAMESPACE
from stillwatch.share.tokens import oprf, sodium

#: Combinations of shares that are tried where some are bad.
_TRIES: Final = 1000
_DAY_0: Final = date(2020, 1, 1)


def epoch_of(day: date) -> str:
    """The epoch of a day, its quarter: ``2026q4``."""
    return f"{day.year}q{(day.month + 2) // 3}"


def epochs(today: date) -> tuple[str, str]:
    """This epoch and the one before, which overlap."""
    before = date(today.year - 1, 12, 31) if today.month <= 3 else date(today.year, 3 * ((today.month - 1) // 3), 1)
    return epoch_of(today), epoch_of(before)


def oprf_input(trait: str, value: str) -> bytes:
    """What is blinded: the kind and the canonical value."""
    return trait.encode() + b"\x00" + value.encode()


def _derive(token: bytes, what: bytes) -> bytes:
    return sha512(b"stillwatch quorum 1 " + what + b"\x00" + token).digest()


def _point(member: str) -> bytes:
    return sodium.scalar_of(sha512(b"stillwatch quorum 1 point\x00" + member.encode()).digest())


def _seal_key(secret: bytes) -> bytes:
    return sha256(b"stillwatch quorum 1 seal\x00" + secret).digest()


@dataclass(frozen=True, slots=True)
class Context:
    """What a submission says beside its tag, opened at quorum only: a campaign (or a suspicion's mark) and the days it was seen."""

    campaign: str
    first: date
    last: date


def suspicion_mark(member: str, epoch: str) -> str:
    """Stands for a campaign where a lab has none yet, only a suspicion."""
    return f"campaign--{uuid5(NAMESPACE, f'suspicion {member} {epoch}')}"


def seal(token: bytes, member: str, threshold: int, context: Context, trait: str, epoch: str) -> Token:
    """A member's submission for one trait.

    Args:
        token: the OPRF's output, 64 bytes.
        member: fingerprint of the member's key.
        threshold: members that must come together.
        context: what is sealed.
    """
    coefficients = [sodium.scalar_of(_derive(token, b"coefficient %d" % i)) for i in range(threshold)]
    tag, nonce = _derive(token, b"tag")[:16], os.urandom(12)
    bound = rfc8785.dumps([trait, epoch, tag.hex(), member])
    sealed = nonce + ChaCha20Poly1305(_seal_key(coefficients[0])).encrypt(nonce, _packed(context), bound)
    return Token(tag.hex(), oprf.polynomial(coefficients, _point(member)).hex(), sealed.hex())


def _packed(context: Context) -> bytes:
    days = ((d - _DAY_0).days.to_bytes(2, "big") for d in (context.first, context.last))
    return UUID(context.campaign.partition("--")[2]).bytes + b"".join(days)


def _unpacked(plain: bytes) -> Context:
    first, last = (_DAY_0 + timedelta(days=int.from_bytes(plain[at : at + 2], "big")) for at in (16, 18))
    return Context(f"campaign--{UUID(bytes=plain[:16])}", first, last)


def padding(count: int) -> list[Token]:
    """Random tokens that fill a batch up to the next power of two (at least 64), so that its size tells little."""
    size = max(64, 1 << (count - 1).bit_length()) if count else 64
    return [Token(os.urandom(16).hex(), sodium.random_scalar().hex(), os.urandom(48).hex()) for _ in range(min(size, MAX_TOKENS) - count)]


@lru_cache(maxsize=4096)
def _weights(keys: tuple[str, ...]) -> tuple[bytes, ...]:
    """The weights at 0 of these members' points."""
    points = [_point(k) for k in keys]
    return tuple(oprf.lagrange(p, points[:at] + points[at + 1 :]) for at, p in enumerate(points))


def open_seals(rows: Sequence[Any], threshold: int) -> dict[str, Context]:
    """Contexts by member's key, of as many submissions of one tag as open with one secret.

    Args:
        rows: key, share, sealed, trait, epoch, tag of distinct owners' submissions.
    """
    best: dict[str, Context] = {}
    for some in islice(combinations(rows, threshold), _TRIES):
        secret = bytes(32)
        for weight, r in zip(_weights(tuple(r.key for r in some)), some, strict=True):
            secret = sodium.scalar_add(secret, sodium.scalar_mul(weight, bytes.fromhex(r.share)))
        cipher = ChaCha20Poly1305(_seal_key(secret))
        opened = {}
        for r in rows:
            data = bytes.fromhex(r.sealed)
            try:
                plain = cipher.decrypt(data[:12], data[12:], rfc8785.dumps([r.trait, r.epoch, r.tag, r.key]))
            except InvalidTag:
                continue
            opened[r.key] = _unpacked(plain)
        if len(opened) > len(best):
            best = opened
        if len(best) == len(rows):
            break
    return best


def sign_batch(release: Release, key: Ed25519PrivateKey) -> dict[str, Any]:
    """A batch as it is sent to the hub."""
    return {"document": to_plain(release.document), "signature": key.sign(release.canonical).hex()}
