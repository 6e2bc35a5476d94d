"""RFC 9497 over ristretto255-SHA512: OPRF (mode 0) and VOPRF (mode 1), for batches, and a key split among several holders.

Elements of a batch are laid end to end, 32 bytes each.  Section numbers are the RFC's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha512
from hmac import compare_digest
from typing import Final

from stillwatch.share.tokens import sodium
from stillwatch.share.tokens.sodium import SIZE

OPRF, VOPRF = 0, 1
#: Elements of one proof (their index has two bytes).
MAX_BATCH: Final = 65_535
GENERATOR: Final = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")


class ProofError(ValueError):
    """The key-holder's answer was not made with the key that it published."""


def _context(mode: int) -> bytes:
    return b"OPRFV1-" + bytes([mode]) + b"-ristretto255-SHA512"


def _framed(*parts: bytes) -> bytes:
    return b"".join(len(p).to_bytes(2, "big") + p for p in parts)


def expand(message: bytes, tag: bytes) -> bytes:
    """expand_message_xmd with SHA-512 to 64 bytes (RFC 9380 section 5.3.1)."""
    tag = tag + bytes([len(tag)])
    first = sha512(bytes(128) + message + b"\x00\x40\x00" + tag).digest()
    return sha512(first + b"\x01" + tag).digest()


def _scalar(message: bytes, tag: bytes, mode: int) -> bytes:
    return sodium.scalar_of(expand(message, tag + _context(mode)))


def hash_to_group(item: bytes, mode: int) -> bytes:
    """The element of an input (section 4.1)."""
    return sodium.element_of(expand(item, b"HashToGroup-" + _context(mode)))


def derive_key(seed: bytes, info: bytes, mode: int) -> tuple[bytes, bytes]:
    """(secret, public) key of a seed (section 3.2.1)."""
    for counter in range(256):
        secret = _scalar(seed + _framed(info) + bytes([counter]), b"DeriveKeyPair", mode)
        if any(secret):
            return secret, sodium.base(secret)
    raise ValueError("no key can be derived from this seed")


def blind(items: Sequence[bytes], mode: int = VOPRF, blinds: Sequence[bytes] | None = None) -> tuple[list[bytes], bytes]:
    """(blinds, blinded elements); ``blinds`` are drawn where none are given (section 3.3.1)."""
    factors = list(blinds) if blinds is not None else [sodium.random_scalar() for _ in items]
    return factors, b"".join(sodium.multiply(r, hash_to_group(x, mode)) for r, x in zip(factors, items, strict=True))


def evaluate(secret: bytes, blinded: bytes) -> bytes:
    """The key-holder's part for a whole batch (section 3.3.1)."""
    return sodium.multiply_all(secret, blinded)


def finalize(items: Sequence[bytes], blinds: Sequence[bytes], evaluated: bytes) -> list[bytes]:
    """The outputs, 64 bytes each (section 3.3.1)."""
    out = []
    for at, (x, inverse) in enumerate(zip(items, sodium.invert_all(blinds), strict=True)):
        element = sodium.multiply(inverse, evaluated[SIZE * at : SIZE * at + SIZE])
        out.append(sha512(_framed(x, element) + b"Finalize").digest())
    return out


def _composites(public: bytes, blinded: bytes, evaluated: bytes, secret: bytes | None, mode: int) -> tuple[bytes, bytes]:
    """(M, Z) of a batch (section 2.2.1); with the secret key, Z comes from M."""
    seed = sha512(_framed(public, b"Seed-" + _context(mode))).digest()
    m = z = b""
    for at in range(0, len(blinded), SIZE):
        c, d = blinded[at : at + SIZE], evaluated[at : at + SIZE]
        factor = _scalar(_framed(seed) + (at // SIZE).to_bytes(2, "big") + _framed(c, d) + b"Composite", b"HashToScalar-", mode)
        part = sodium.multiply(factor, c)
        m = sodium.add(m, part) if m else part
        if secret is None:
            part = sodium.multiply(factor, d)
            z = sodium.add(z, part) if z else part
    return m, z if secret is None else sodium.multiply(secret, m)


def _challenge(public: bytes, m: bytes, z: bytes, t2: bytes, t3: bytes, mode: int) -> bytes:
    return _scalar(_framed(public, m, z, t2, t3) + b"Challenge", b"HashToScalar-", mode)


def _checked(blinded: bytes, evaluated: bytes) -> None:
    if len(blinded) != len(evaluated) or len(blinded) % SIZE or not 0 < len(blinded) <= SIZE * MAX_BATCH:
        raise ProofError(f"a proof covers 1 to {MAX_BATCH} elements and as many answers")


def prove(secret: bytes, public: bytes, blinded: bytes, evaluated: bytes, mode: int = VOPRF, r: bytes | None = None) -> bytes:
    """DLEQ proof, 64 bytes, that one key made the whole batch (section 2.2.1); ``r`` only for test vectors."""
    _checked(blinded, evaluated)
    r = r or sodium.random_scalar()
    m, z = _composites(public, blinded, evaluated, secret, mode)
    c = _challenge(public, m, z, sodium.base(r), sodium.multiply(r, m), mode)
    return c + sodium.scalar_sub(r, sodium.scalar_mul(c, secret))


def verify(public: bytes, blinded: bytes, evaluated: bytes, proof: bytes, mode: int = VOPRF) -> None:
    """Check a batch's proof (section 2.2.2).

    Raises:
        ProofError: it does not hold.
    """
    _checked(blinded, evaluated)
    if len(proof) != 2 * SIZE:
        raise ProofError("a proof has 64 bytes")
    c, s = proof[:SIZE], proof[SIZE:]
    try:
        m, z = _composites(public, blinded, evaluated, None, mode)
        t2 = sodium.add(sodium.base(s), sodium.multiply(c, public))
        t3 = sodium.add(sodium.multiply(s, m), sodium.multiply(c, z))
        expected = _challenge(public, m, z, t2, t3, mode)
    except sodium.ElementError as error:
        raise ProofError(f"the proof cannot be checked: {error}") from None
    if not compare_digest(expected, c):
        raise ProofError("the key-holder's answer was not made with the key that it published")


def split(secret: bytes, threshold: int, holders: int) -> tuple[list[bytes], list[bytes]]:
    """Shamir shares of a key for holders 1 to ``holders``, and Feldman's commitments to the polynomial.

    A. Shamir, CACM 22:612, 1979; P. Feldman, FOCS 1987.
    """
    if not 1 <= threshold <= holders <= 255:
        raise ValueError("the threshold is 1 to the number of holders, at most 255")
    coefficients = [secret, *(sodium.random_scalar() for _ in range(threshold - 1))]
    return [polynomial(coefficients, x) for x in range(1, holders + 1)], [sodium.base(c) for c in coefficients]


def polynomial(coefficients: Sequence[bytes], x: int | bytes) -> bytes:
    """The polynomial's value, all scalars."""
    at = sodium.scalar_int(x) if isinstance(x, int) else x
    value = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        value = sodium.scalar_add(sodium.scalar_mul(value, at), c)
    return value


def check_share(share: bytes, holder: int, commitments: Sequence[bytes]) -> None:
    """Feldman's check that a share lies on the polynomial that was committed to.

    Raises:
        ProofError: it does not.
    """
    if sodium.base(share) != public_share(holder, commitments):
        raise ProofError(f"the share of holder {holder} is not on the committed polynomial: the dealer erred or cheats")


def public_share(holder: int, commitments: Sequence[bytes]) -> bytes:
    """The public key of one holder's share."""
    at, power, total = sodium.scalar_int(holder), sodium.scalar_int(1), b""
    for c in commitments:
        part = sodium.multiply(power, c)
        total = sodium.add(total, part) if total else part
        power = sodium.scalar_mul(power, at)
    return total


def lagrange(holder: bytes, others: Sequence[bytes]) -> bytes:
    """The weight at 0 of one point among ``others`` (which exclude it), all scalars."""
    value = sodium.scalar_int(1)
    for other in others:
        value = sodium.scalar_mul(value, sodium.scalar_mul(other, sodium.invert(sodium.scalar_sub(other, holder))))
    return value


def combine(answers: Mapping[int, bytes]) -> bytes:
    """One key's answer out of those of enough holders of shares, by holder; batches of equal length."""
    points = {h: sodium.scalar_int(h) for h in answers}
    total: list[bytes] = []
    for h, answer in sorted(answers.items()):
        weight = lagrange(points[h], [p for o, p in points.items() if o != h])
        part = sodium.multiply_all(weight, answer)
        pieces = [part[at : at + SIZE] for at in range(0, len(part), SIZE)]
        total = [sodium.add(a, b) for a, b in zip(total, pieces, strict=True)] if total else pieces
    return b"".join(total)
