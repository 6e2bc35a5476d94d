"""A member's side of the key-holder: traits are blinded here, and every answer's proof is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from stillwatch.share.net.access import ClientError, connection
from stillwatch.share.tokens import oprf
from stillwatch.share.tokens.seal import oprf_input
from stillwatch.share.tokens.sodium import SIZE, ElementError

#: Elements of one proof.
PROOF_BATCH: Final = 5000


@dataclass(slots=True)
class KeyHolderClient:
    """One holder of a key, or of a share of it."""

    url: str
    token: str
    http: httpx2.Client = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.http is None:
            self.http = connection(self.url, timeout=300)

    def keys(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What it holds, by trait and epoch: ``public``, and ``holder`` and ``commitments`` where the key is split."""
        told = self._ask("GET", "/keys/").json()
        return {(k["trait"], k["epoch"]): k for k in told["keys"]}

    def evaluate(self, trait: str, epoch: str, blinded: bytes) -> tuple[bytes, bytes]:
        """(evaluated elements, proof)."""
        answer = self._ask("POST", f"/evaluate/{trait}/{epoch}/", content=blinded).content
        if len(answer) != len(blinded) + 2 * SIZE:
            raise ClientError(f"{self.url}: an answer of {len(answer)} bytes to {len(blinded)}")
        return answer[: len(blinded)], answer[len(blinded) :]

    def _ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        try:
            answer = self.http.request(method, self.url.rstrip("/") + path, headers={"Authorization": f"Bearer {self.token}"}, **more)
        except httpx2.HTTPError as error:
            raise ClientError(f"{self.url}: the key-holder does not answer ({error})") from None
        if answer.status_code >= 400:
            raise ClientError(f"{self.url}{path}: {answer.status_code} {answer.text[:200]}")
        return answer


def tokens_of(
    values: Sequence[str], trait: str, epoch: str, holders: Sequence[KeyHolderClient], pinned: str | None = None
) -> tuple[list[bytes], str]:
    """(OPRF outputs of values, the public key that they were made with).

    Every answer's proof is checked; with a split key, that of each holder's share against the dealer's commitments.

    Args:
        values: canonical values of one kind of trait.
        holders: one with the whole key, or as many as the key's threshold asks for.
        pinned: the public key (hex) that was seen for this trait and epoch before; None the first time.

    Raises:
        ClientError: no key for this trait and epoch, holders do not agree, or another key than before.
        ProofError: an answer was not made with the published key.
    """
    told = []
    for h in holders:
        known = h.keys().get((trait, epoch))
        if known is None:
            raise ClientError(f"{h.url}: no key for {trait} in {epoch}")
        told.append(known)
    public = str(told[0]["public"])
    if any(k["public"] != public or k.get("commitments") != told[0].get("commitments") for k in told) or pinned not in (None, public):
        raise ClientError("the key-holders show different keys, or another one than before: stop and ask them")
    commitments = [bytes.fromhex(c) for c in told[0].get("commitments", ())]
    if commitments and (commitments[0].hex() != public or len({k["holder"] for k in told}) < len(commitments)):
        raise ClientError(f"the key is split: name {len(commitments)} different key-holders")
    out: list[bytes] = []
    for start in range(0, len(values), PROOF_BATCH):
        items = [oprf_input(trait, v) for v in values[start : start + PROOF_BATCH]]
        blinds, blinded = oprf.blind(items)
        parts: dict[int, bytes] = {}
        for h, k in zip(holders, told, strict=True):
            try:
                evaluated, proof = h.evaluate(trait, epoch, blinded)
                mine = oprf.public_share(k["holder"], commitments) if commitments else bytes.fromhex(public)
                oprf.verify(mine, blinded, evaluated, proof)
            except ElementError as error:
                raise ClientError(f"{h.url}: {error}") from None
            parts[k.get("holder", 1)] = evaluated
        out += oprf.finalize(items, blinds, oprf.combine(parts) if commitments else parts[1])
    return out, public
