"""Blinded traits as a member makes them: tag, share of the seal's key and sealed context; and how t of them are opened.

A member turns the OPRF's output for a trait into a tag, a share and a sealed context (STAR: Davidson et al., CCS 2022, arXiv 2109.10074).  Everybody who holds
the same trait makes the same tag and a point of the same polynomial of degree t - 1; t points open the seal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
from stillwatch.share.release.document import NAMESPACE
from stillwatch.share.tokens import oprf, sodium

#: Owners that must come together at the least, whatever a hub says: the share of a quorum of one is the secret itself.
LEAST_QUORUM: Final = 2
#: Tokens of the smallest and of the largest batch; sizes between are powers of two, so that they tell little.
SMALLEST, LARGEST = 64, 8192
#: Stands for a campaign where a lab has none yet, only a suspicion.  The same for all, for a mark of one's own would be a name.
SUSPICION: Final = f"campaign--{uuid5(NAMESPACE, 'suspicion')}"
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
    """What a submission says beside its tag, opened at quorum only.

    A released campaign with its first and last day, or ``SUSPICION`` with the day of the batch twice: the hub compares it with its records and passes on
    nothing of it.
    """

    campaign: str
    first: date
    last: date


def seal(token: bytes, member: str, threshold: int, context: Context, trait: str, epoch: str) -> Token:
    """A member's submission for one trait.

    Args:
        token: the OPRF's output, 64 bytes.
        member: fingerprint of the member's key.
        threshold: members that must come together.
        context: what is sealed.

    Raises:
        ValueError: a threshold below ``LEAST_QUORUM``.
    """
    if threshold < LEAST_QUORUM:
        raise ValueError(f"a quorum of {threshold}: one share would be the secret; at least {LEAST_QUORUM} are needed")
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
    """Random tokens that fill a batch up to the next power of two.

    They are drawn anew for each batch, never sent twice, and look as traits do: a tag of 16 random bytes, a scalar, and a nonce with what no key opens.
    """
    size = max(SMALLEST, 1 << (count - 1).bit_length()) if count else SMALLEST
    return [Token(os.urandom(16).hex(), sodium.random_scalar().hex(), os.urandom(48).hex()) for _ in range(size - count)]


@lru_cache(maxsize=4096)
def _weights(keys: tuple[str, ...], at: str = "") -> tuple[bytes, ...]:
    """The weights of these members' points at another member's, or at 0."""
    points = [_point(k) for k in keys]
    if at:
        points = [sodium.scalar_sub(p, _point(at)) for p in points]
    return tuple(oprf.lagrange(p, points[:n] + points[n + 1 :]) for n, p in enumerate(points))


def _value(points: Sequence[tuple[str, str, str]], at: str = "") -> bytes:
    """The value of the polynomial through these points (owner, key, share)."""
    total = bytes(32)
    for weight, (_, _, share) in zip(_weights(tuple(key for _, key, _ in points), at), points, strict=True):
        total = sodium.scalar_add(total, sodium.scalar_mul(weight, bytes.fromhex(share)))
    return total


@dataclass(frozen=True, slots=True)
class Opened:
    """A submission whose seal was opened."""

    row: Any
    context: Context


def open_seals(rows: Sequence[Any], threshold: int) -> list[Opened]:
    """Submissions of one tag that open with a secret which ``threshold`` owners share, in the order of ``rows``.

    A submission counts where its share lies on the polynomial and its seal opens; what fits no other is left out and undoes nothing.  Where several secrets
    open (accomplices can agree on one of their own), each counts that enough owners share.

    Args:
        rows: owner, key, share, sealed, trait, epoch, tag of submissions; a member may have several.
        threshold: owners that must come together.
    """
    opened: dict[int, Opened] = {}
    left = list(enumerate(rows))
    while (secret := _secret(left, threshold)) is not None:
        opened |= secret
        left = [(at, r) for at, r in left if at not in secret]
    return [opened[at] for at in sorted(opened)]


def _secret(left: Sequence[tuple[int, Any]], threshold: int) -> dict[int, Opened] | None:
    """What the first secret opens that enough owners share; None where there is none."""
    points = {(r.owner, r.key, r.share): None for _, r in left}
    if len({owner for owner, _, _ in points}) < threshold:
        return None
    for some in islice(_of_distinct_owners(list(points), threshold), _TRIES):
        cipher = ChaCha20Poly1305(_seal_key(_value(some)))
        fits = {(owner, key, share) for owner, key, share in points if (owner, key, share) in some or _value(some, key).hex() == share}
        opened = {}
        for at, r in left:
            if (r.owner, r.key, r.share) in fits and (context := _unsealed(cipher, r)) is not None:
                opened[at] = Opened(r, context)
        if len({o.row.owner for o in opened.values()}) >= threshold:
            return opened
    return None


def _of_distinct_owners(points: Sequence[tuple[str, str, str]], threshold: int) -> Iterator[tuple[tuple[str, str, str], ...]]:
    for some in islice(combinations(points, threshold), 20 * _TRIES):
        if len({owner for owner, _, _ in some}) == threshold:
            yield some


def _unsealed(cipher: ChaCha20Poly1305, r: Any) -> Context | None:
    data = bytes.fromhex(r.sealed)
    try:
        return _unpacked(cipher.decrypt(data[:12], data[12:], rfc8785.dumps([r.trait, r.epoch, r.tag, r.key])))
    except InvalidTag:
        return None


def key_digest(public: str) -> str:
    """What a batch says of the key-holder's public key (hex) that its traits were blinded with."""
    return sha256(bytes.fromhex(public)).hexdigest()


def batch_bytes(release: Release, holder: str, threshold: int) -> bytes:
    """What a member signs: the document, the key-holder's key and the quorum that the shares were made for."""
    signed: dict[str, str | int] = {
        "batch": "stillwatch-batch-1",
        "document": sha256(release.canonical).hexdigest(),
        "holder": holder,
        "quorum": threshold,
    }
    return rfc8785.dumps(signed)


def sign_batch(release: Release, key: Ed25519PrivateKey, holder: str, threshold: int) -> dict[str, Any]:
    """A batch as it is sent to the hub.

    Args:
        release: a document of kind tokens.
        key: the member's.
        holder: digest of the key-holder's public key, see ``key_digest``.
        threshold: the quorum that the shares were made for.
    """
    signature = key.sign(batch_bytes(release, holder, threshold)).hex()
    return {"document": to_plain(release.document), "holder": holder, "quorum": threshold, "signature": signature}
