"""Who is asking, and how often: tokens, rates, and what a client does with an answer that it may not believe."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from hashlib import sha256


class ClientError(ValueError):
    """The server cannot be reached, refuses, or answers what it may not; the message says what to do."""


@dataclass(slots=True)
class Bucket:
    """A token bucket per member; the clock is given."""

    rate: float
    burst: float
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, who: str, now: float) -> float:
        """0, or seconds to wait."""
        left, since = self._left.get(who, (self.burst, now))
        left = min(self.burst, left + max(0.0, now - since) * self.rate)
        if left < 1:
            self._left[who] = (left, now)
            return (1 - left) / self.rate
        self._left[who] = (left - 1, now)
        return 0.0


def read_authorization(header: str | None) -> str | None:
    """The token of a Bearer header, or the password of a Basic one."""
    scheme, _, rest = (header or "").strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return rest
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    return None


def new_token() -> str:
    """A member's token: 256 random bits."""
    return "swh_" + secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """SHA-256 of a token: tokens are random, so nothing slower is needed."""
    return sha256(token.encode()).hexdigest()
