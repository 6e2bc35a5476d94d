"""A member's side: push, pull, watch the log.  Answers of servers are not believed but checked."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

import httpx2
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.share.net.access import MEDIA, ClientError, connection
from stillwatch.share.release import undocumented
from stillwatch.share.tlog import log as tree
from stillwatch.share.wire import persons
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire.vocabulary import constants

#: Objects of one envelope, tags of one withdrawal.
BATCH: Final = 500
_TAGS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of objects that were sent."""

    stored: int
    failures: tuple[tuple[str, str], ...]  # id, reason


@dataclass(frozen=True, slots=True)
class Pulled:
    """An object of a partner that was examined and whose signature holds."""

    received: wire.Received
    object: dict[str, Any]
    owner: tuple[str, ...]  # all keys of the partner


@dataclass(frozen=True, slots=True)
class Directory:
    """Who signs: ``of`` maps each key's fingerprint to its key and to all fingerprints of the same member, ``persons`` to whom that member ever enrolled."""

    log: str
    quorum: int
    of: Mapping[str, tuple[Ed25519PublicKey, tuple[str, ...]]]
    persons: Mapping[str, Mapping[str, wire.Person]] = field(default_factory=dict)

    @property
    def members(self) -> frozenset[tuple[str, ...]]:
        """Each member, as all its fingerprints."""
        return frozenset(every for _, every in self.of.values())


@dataclass(frozen=True, slots=True)
class Watched:
    """The log as it was found: the ``note`` to keep, its ``head``, how far more than half of the members cosigned it (0: nowhere), and how many of them ever did."""

    note: str
    head: tree.Checkpoint
    majority: int
    cosigned: int
    members: int


@dataclass(slots=True)
class HubClient:
    """A connection to a hub.

    Args:
        url: the hub's address, without path.
        token: the member's.
        http: an httpx2 client; one is made where none is given.

    Raises:
        ClientError: the address is plain HTTP to another machine.
    """

    url: str
    token: str
    http: httpx2.Client = field(default=None)  # type: ignore[assignment]
    collection: str = "signals"

    def __post_init__(self) -> None:
        if self.http is None:
            self.http = connection(self.url, timeout=60)

    def log_key(self) -> str:
        """The verifier key of the hub's log, asked for without the token: nothing of ours is sent to a hub before we know which it is."""
        try:
            answer = self.http.get(self.url.rstrip("/") + "/hub/health/")
            if answer.status_code != 200:
                raise ClientError(f"{self.url}: {answer.status_code} where a hub says how it is; does it ask for a certificate?")
            told = answer.json()
            found = str(told["log"])
            read_verifier(found)
        except httpx2.HTTPError as error:
            raise ClientError(f"{self.url}: the hub does not answer ({error})") from None
        except ClientError:
            raise
        except (ValueError, KeyError, TypeError):
            raise ClientError(f"{self.url}: no hub, or one of an older version: it does not name its log") from None
        return found

    def _ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": MEDIA, **more.pop("headers", {})}
        try:
            answer = self.http.request(method, self.url.rstrip("/") + path, headers=headers, **more)
        except httpx2.HTTPError as error:
            raise ClientError(f"{self.url}: the hub does not answer ({error}); nothing was lost, run the command again") from None
        if answer.status_code == 401:
            raise ClientError(f"{self.url}: the hub does not know this token; ask its operator to enrol or rotate")
        if answer.status_code == 429:
            raise ClientError(f"{self.url}: too many requests; try again in {answer.headers.get('retry-after', 'some')} s")
        if answer.status_code >= 400:
            try:
                told = answer.json()
                why = f"{told.get('title', '')} {told.get('description', '')}".strip()
            except ValueError:
                why = answer.text[:200]
            raise ClientError(f"{self.url}{path}: {answer.status_code} {why}")
        return answer

    def directory(self) -> Directory:
        """The keys of all members and their persons; each key is checked against its fingerprint, each statement on persons against its signatures."""
        told = self._ask("GET", "/hub/keys/").json()
        of: dict[str, tuple[Ed25519PublicKey, tuple[str, ...]]] = {}
        people: dict[str, Mapping[str, wire.Person]] = {}
        for member in told["members"]:
            every = tuple(str(k["key"]) for k in member["keys"])
            for k in member["keys"]:
                public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(k["public"]))
                if wire.key_id(public) != k["key"]:
                    raise ClientError(f"{self.url}: the hub shows a key under a fingerprint that is not its own: {k['key']}")
                of[k["key"]] = (public, every)
            try:
                # Somebody who was removed approved what he approved: to a reader he stays what he was.
                everybody = persons.fold(member.get("persons", ()), {k: of[k][0] for k in every})
            except wire.WireError:
                everybody = {}  # nobody's word holds for this member; the others' does
            people |= {key: {k: s.past for k, s in everybody.items()} for key in every}
        return Directory(str(told["log"]), int(told["quorum"]), of, people)

    def state_persons(self, statements: Sequence[Mapping[str, Any]]) -> int:
        """Send statements on the member's own persons, countersigned; those that the hub has are passed over."""
        return int(self._ask("POST", "/hub/persons/", json={"statements": list(statements)}).json()["taken"])

    def log_ledger(self, n: int, head: str) -> None:
        """Have the hub log the head of the member's ledger."""
        self._ask("POST", "/hub/ledger/", json={"n": n, "head": head})

    def ended(self, after: int, log_key: str) -> list[tuple[str, int, str]]:
        """What owners deleted without revoking it: (id, entry of the log, the id that the entry names).  With a campaign goes what belongs to it.

        Raises:
            LogError: the log has no such entry.
        """
        out: list[tuple[str, int, str]] = []
        bundles: dict[int, list[bytes]] = {}
        while rows := self._ask("GET", "/hub/ended/", params={"after": after}).json()["ended"]:
            _, head, tiles = self.head(log_key)
            for r in rows:
                ident, number = str(r["id"]), int(r["number"])
                if not after < number < head.size:
                    raise tree.LogError(f"the hub says that {ident} was deleted with entry {number}, which its log does not have")
                tile = number // tree.TILE
                if tile not in bundles or len(bundles[tile]) <= number % tree.TILE:
                    bundles[tile] = self._bundle(tile, head.size)
                shown = _shown(bundles[tile], number, head, tiles)
                if shown.get("kind") != "deletion":
                    raise tree.LogError(f"the hub says that {ident} was deleted, and entry {number} of its log does not")
                out.append((ident, number, str(shown.get("id"))))
            after = int(rows[-1]["number"])
        return out

    def push(self, objects: Sequence[Mapping[str, Any]]) -> Pushed:
        """Send signed objects; sending them twice does no harm."""
        stored, failures = 0, []
        for start in range(0, len(objects), BATCH):
            body = json.dumps({"objects": list(objects[start : start + BATCH])})
            path = f"/api/collections/{self.collection}/objects/"
            told = self._ask("POST", path, content=body, headers={"Content-Type": MEDIA}).json()
            stored += told["success_count"]
            failures += [(f["id"], f.get("message", "refused")) for f in told.get("failures", ())]
        return Pushed(stored, tuple(failures))

    def pull(
        self,
        added_after: str | None,
        directory: Directory,
        limit: int = 1000,
        *,
        today: date,
        known: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
    ) -> Iterator[tuple[str, list[Pulled], list[tuple[str, str]]]]:
        """Pages of what was added: (checkpoint to go on from, objects that hold, ids of those that do not and why).

        Args:
            added_after: the checkpoint of an earlier pull, None for everything.
            today: the reader's day, for the rules that a document decides.
            known: the campaign object of an id that earlier pulls brought, None where there is none.
        """
        following, campaigns = None, dict[str, wire.Received]()
        while True:
            query: dict[str, Any] = {"limit": limit, "match[version]": "all"}
            query |= {"added_after": added_after} if added_after else {}
            query |= {"next": following} if following else {}
            answer = self._ask("GET", f"/api/collections/{self.collection}/objects/", params=query)
            told = answer.json()
            good, bad, fresh = [], [], False
            for o in told.get("objects", ()):
                try:
                    try:
                        found = self._check(o, directory, today, campaigns, known)
                    except wire.WireError:
                        # Somebody may have been enrolled since the pull began; what is refused now is not shown again.
                        if fresh:
                            raise
                        directory, fresh = replace(self.directory(), log=directory.log), True
                        found = self._check(o, directory, today, campaigns, known)
                except wire.WireError as error:
                    bad.append((str(o.get("id", "none"))[:200], str(error)))
                    continue
                if found is not None:
                    good.append(found)
            if told.get("objects"):
                yield _checkpoint(answer.headers.get("x-taxii-date-added-last"), added_after, today), good, bad
            following = told.get("next")
            if not told.get("more"):
                return

    @staticmethod
    def _check(
        o: dict[str, Any],
        directory: Directory,
        today: date,
        campaigns: dict[str, wire.Received],
        known: Callable[[str], Mapping[str, Any] | None],
    ) -> Pulled | None:
        """What the hub must have asked is asked again: a hub may be bad."""
        constant = constants().get(str(o.get("id")))
        if constant is not None or o.get("type") == "identity":
            same = constant or next((i for i in map(wire.identity, directory.of) if i["id"] == o.get("id")), None)
            if o != same:
                raise wire.WireError("an object that must be the same everywhere is not")
            return None
        signer = wire.signer(o)
        if signer not in directory.of:
            raise wire.WireError("signed with a key that no member has")
        public, every = directory.of[signer]
        got = wire.examine(o, public, every)
        wire.check_approvals(got, directory.persons.get(signer, {}))
        tomorrow = today + timedelta(days=1)  # no two clocks turn at once
        for r in undocumented(got.release.document, tomorrow) if got.release is not None else ():
            if r.rule != "R08" or got.retraction is None:  # what takes a campaign back holds as long as anybody may have it
                raise wire.WireError(f"{r.rule}: {r.reason}")
        if got.retraction is not None and got.retraction.document.stamp.day > tomorrow.isoformat():
            raise wire.WireError("R08: the retraction is of a day to come")
        if got.type == "campaign":
            campaigns[got.id] = got
        else:
            if got.about not in campaigns and (told := known(got.about)) is not None:
                campaigns[got.about] = wire.examine(dict(told))
            about = campaigns.get(got.about)
            if about is None:
                raise wire.WireError("it belongs to a campaign that is not here")
            if got.release is not None and about.by in every:
                raise wire.WireError("it is a word on its owner's own campaign")
            if got.release is None and (about.by not in every or not wire.stands_in(got, about)):
                raise wire.WireError("it does not stand in the document of its campaign")
        return Pulled(got, o, every)

    # The log

    def watch(self, seen: str | None, directory: Directory, key: Ed25519PrivateKey | None, now: int) -> Watched:
        """Check that the log still begins with what was seen before and with what other members cosigned; cosign its head.

        Args:
            seen: the checkpoint that was checked last, None for the first time.
            directory: with the log's verifier key as it was first seen, and the members.
            key: signs as a witness; None only looks.

        Raises:
            SplitView: history was rewritten, or another member was shown another one; holds both signed heads.
            LogError: the head is not signed by the log.
        """
        others = [str(n) for n in self._ask("GET", "/log/cosigned/").json()["notes"]]
        note, head, tiles = self.head(directory.log)  # after theirs, for the log grows
        if seen is not None:
            old = tree.verify_note(seen, *read_verifier(directory.log))
            try:
                proof = [] if old.size in (0, head.size) or old.size > head.size else tree.consistency(old.size, head.size, tiles.get)
                tree.verify_consistency(old.size, head.size, proof, old.root, head.root)
            except tree.LogError as error:
                raise tree.SplitView(str(error), (seen, note)) from None
        sizes = _cosigned(directory, others, head, note, tiles)
        if key is not None:
            line = tree.cosign(head.text, wire.key_id(key.public_key()), key, now)
            self._ask("POST", "/log/checkpoint/", content=(note + line).encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
            mine = next((m for m in directory.members if wire.key_id(key.public_key()) in m), None)
            if mine is not None:
                sizes[mine] = head.size
        return Watched(note, head, tree.majority(list(sizes.values()), len(directory.members)), len(sizes), len(directory.members))

    def head(self, log_key: str) -> tuple[str, tree.Checkpoint, tree.Tiles]:
        """The newest head as it was signed, and its tree, which makes it.

        Raises:
            LogError: it is not signed by the log, or its tiles make another one.
        """
        origin, public = read_verifier(log_key)
        note = self._ask("GET", "/log/checkpoint/").text
        head = tree.verify_note(note, origin, public)
        tiles = tree.Tiles(lambda path: self._ask("GET", f"/log/{path}/").content, head.size)
        if tree.root(head.size, tiles.get) != head.root:
            raise tree.LogError("the tiles do not make the head that was signed")
        return note, head, tiles

    def restored(self) -> list[dict[str, Any]]:
        """The log's entries that say it went back to a backup, with the signed statement of each."""
        told: list[dict[str, Any]] = self._ask("GET", "/log/restored/").json()["restored"]
        return told

    def entry_of(self, number: int, size: int) -> bytes:
        """An entry of the log."""
        return self._bundle(number // tree.TILE, size)[number % tree.TILE]

    def _bundle(self, tile: int, size: int) -> list[bytes]:
        width = min(tree.TILE, size - tile * tree.TILE)
        return tree.unbundle(self._ask("GET", f"/log/{tree.tile_path('entries', tile, width)}/").content)

    def mine(self, after: int = -1) -> list[dict[str, Any]]:
        """The member's own entries in full."""
        entries: list[dict[str, Any]] = self._ask("GET", "/log/mine/", params={"after": after}).json()["entries"]
        return entries

    # Tokens

    def terms(self) -> Mapping[str, Any]:
        """What holds for all batches: quorum, sizes, ``until`` (epoch seconds to which answers reach) and the key-holder's keys."""
        told: Mapping[str, Any] = self._ask("GET", "/hub/tokens/").json()
        return told

    def holder_key(self, trait: str, epoch: str, log_key: str) -> str | None:
        """Digest of the key-holder's key that the hub's log names for a trait and epoch; None before the first batch.

        Args:
            log_key: the log's verifier key, as it was first seen.

        Raises:
            ClientError: the log does not name what the hub says.
        """
        told = next((k for k in self.terms()["keys"] if (k["trait"], k["epoch"]) == (trait, epoch)), None)
        if told is None:
            return None
        try:
            _, head, tiles = self.head(log_key)
            number = int(told["entry"])
            entry = _shown(self._bundle(number // tree.TILE, head.size), number, head, tiles)
            detail = rfc8785.dumps({"trait": trait, "epoch": epoch, "key": told["key"]})
            if entry["kind"] != "key-holder-key" or entry["detail"] != sha256(bytes.fromhex(told["salt"]) + detail).hexdigest():
                raise tree.LogError(f"entry {number} names another key")
        except (tree.LogError, KeyError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, ClientError):
                raise
            raise ClientError(
                f"{self.url}: the log does not name the key-holder's key that the hub says ({error}); tell the members"
            ) from None
        return str(told["key"])

    def send_tokens(self, batch: Mapping[str, Any]) -> int:
        """Send a signed batch; how many tokens the hub took.  Answers come for all at once, after the day."""
        return int(self._ask("POST", "/hub/tokens/", json=dict(batch)).json()["taken"])

    def withdraw(self, tags: Sequence[str]) -> int:
        """Take the member's own tags back: they match no more after the day, and stay counted."""
        count = 0
        for start in range(0, len(tags), _TAGS):
            count += int(self._ask("POST", "/hub/tokens/withdraw/", json={"tags": list(tags[start : start + _TAGS])}).json()["withdrawn"])
        return count

    def answers(self, after: int) -> list[dict[str, Any]]:
        """Answers of finished days to the member's own tags, after a number."""
        found: list[dict[str, Any]] = self._ask("GET", "/hub/answers/", params={"after": after}).json()["answers"]
        return found


def _shown(bundle: Sequence[bytes], number: int, head: tree.Checkpoint, tiles: tree.Tiles) -> dict[str, Any]:
    """An entry out of its bundle, shown to be in the tree that was signed: tiles below the ones that make the head are nobody's word.

    Raises:
        LogError: it is another.
    """
    entry = bundle[number % tree.TILE]
    tree.verify_inclusion(tree.leaf_hash(entry), number, head.size, tree.inclusion(number, head.size, tiles.get), head.root)
    return dict(json.loads(entry))


def _cosigned(
    directory: Directory, notes: Sequence[str], head: tree.Checkpoint, note: str, tiles: tree.Tiles
) -> dict[tuple[str, ...], int]:
    """How far each member's cosignature reaches; one that signs another tree is a split view."""
    origin, public = read_verifier(directory.log)
    known = {k: p for k, (p, _) in directory.of.items()}
    sizes: dict[tuple[str, ...], int] = {}
    for told in notes:
        other = tree.verify_note(told, origin, public)
        for who in tree.witnesses(told, known):
            if other.size > head.size or tree.root(other.size, tiles.get) != other.root:
                shown = (
                    f"member {who} was shown a tree of {other.size} entries that is not this one: the hub shows its members different logs"
                )
                raise tree.SplitView(shown, (told, note))
            every = directory.of[who][1]
            sizes[every] = max(sizes.get(every, 0), other.size)
    return sizes


def _checkpoint(told: str | None, before: str | None, today: date) -> str:
    """The time to go on from, which the hub must not put into the future."""
    latest = (today + timedelta(days=2)).isoformat()
    if told is None or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told) or not (before or "") <= told < latest:
        raise ClientError(f"the hub gave no time of its last object, or one before what was pulled or of days to come: {str(told)[:40]}")
    return told


def read_verifier(text: str) -> tuple[str, Ed25519PublicKey]:
    """(name, key) of a signed note's verifier key."""
    try:
        name, _, blob = text.split("+", 2)
        raw = base64.b64decode(blob, validate=True)
        public = Ed25519PublicKey.from_public_bytes(raw[1:])
    except ValueError:
        raise tree.LogError("not a verifier key") from None
    if tree.verifier_key(name, public) != text:
        raise tree.LogError("a verifier key whose hash is not its own")
    return name, public
