"""Hub and key-holder on the command line: the operator's side and the members'."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow.parquet as pq
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from stillwatch.cli.console import Column, stop
from stillwatch.cli.serving import hand_over, log_as_json, serve
from stillwatch.share.desk import audit, sharing
from stillwatch.share.desk.desk import Desk, DeskError, open_desk, public_of, read_key, write_private
from stillwatch.share.desk.traits import traits_of
from stillwatch.share.hub.client import HubClient
from stillwatch.share.hub.database import Database, HubError, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.net.access import ClientError, new_token
from stillwatch.share.tlog.log import LogError
from stillwatch.share.tokens.oprf import ProofError
from stillwatch.share.tokens.seal import Context
from stillwatch.watch.intake import IntakeError, mapping

hub_app = typer.Typer(no_args_is_help=True, help="The neutral exchange: its server, and a member's dealings with it.")
audit_app = typer.Typer(no_args_is_help=True, help="What counsel needs.")
hub_app.add_typer(audit_app, name="audit")

Db = Annotated[str, typer.Option("--db", help="SQLite file, or postgresql://USER:PASSWORD@HOST/NAME.", envvar="STILLWATCH_HUB_DB")]
DeskDir = Annotated[Path, typer.Option("--desk", help="The lab's desk; made with release init.")]
_DAY_US: Final = 1_000_000


def _database(url: str) -> Database:
    try:
        return Database(open_database(url))
    except HubError as error:
        stop(str(error))


def _now() -> int:
    return int(time.time() * _DAY_US)


@hub_app.command("serve")
def serve_command(
    db: Db = "hub.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8470,
    origin: Annotated[str, typer.Option(help="The log's name: host and path, without scheme.")] = "hub.example/log",
    key: Annotated[Path, typer.Option(help="Key that signs the log; made on first use.")] = Path("hub.key"),
    quorum: Annotated[int, typer.Option(min=2, help="Owners that must have sent a trait before anybody is told.")] = 2,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second that a member may make in the long run.")] = 50.0,
    max_body: Annotated[int, typer.Option(min=1024, help="Bytes of a request's body at most.")] = 16 * 1024 * 1024,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate chain (PEM).")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="Ask members for certificates of this authority (mutual TLS).")] = None,
) -> None:
    """Serve TAXII 2.1, the log and the answers at quorum."""
    log_as_json()
    if not key.exists():
        write_private(key, Ed25519PrivateKey.generate().private_bytes_raw())
    try:
        signing = read_key(key)
    except DeskError as error:
        stop(str(error))
    database = _database(db)
    hub = Hub(database, origin=origin, key=signing, limits=Limits(body=max_body, requests=rate, burst=10 * rate, quorum=quorum))
    serve(hub.app(), host, port, certificate, certificate_key, client_ca)
    database.close()


@hub_app.command("enrol")
def enrol_command(
    name: Annotated[str, typer.Argument(help="The member.")],
    db: Db = "hub.db",
    public_key: Annotated[str | None, typer.Option(help="The member's public key, 64 hex digits; without one it can only read.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="Who owns it; members of one owner count once in a quorum. Default: the member itself.")
    ] = None,
    role: Annotated[str, typer.Option(help="security, counsel or operator.")] = "security",
    collection: Annotated[str, typer.Option(help="Made if it is not there.")] = "signals",
    read_only: Annotated[bool, typer.Option("--read-only", help="May not contribute.")] = False,
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Enrol a member; its token is shown once and only its hash is kept."""
    if role not in ("security", "counsel", "operator"):
        stop(f"--role: {role} is none of security, counsel, operator")
    token, database = new_token(), _database(db)
    try:
        public = public_of(public_key) if public_key else None
        with database.write() as c:
            database.enrol(c, name, owner=owner or name, role=role, token=token, public=public, now=_now())
            ident = database.ensure_collection(c, collection, collection.capitalize(), _now())
            if role != "operator":
                database.allow(c, name, ident, can_read=True, can_write=public is not None and not read_only, now=_now())
    except (HubError, DeskError) as error:
        stop(str(error))
    hand_over(name, token, token_file)


@hub_app.command("revoke")
def revoke_command(name: Annotated[str, typer.Argument(help="The member.")], db: Db = "hub.db") -> None:
    """Shut a member out at once; what it signed stays verifiable."""
    database = _database(db)
    try:
        with database.write() as c:
            database.revoke(c, name, _now())
    except HubError as error:
        stop(str(error))
    print(f"{name}: revoked")


@hub_app.command("rotate")
def rotate_command(
    name: Annotated[str, typer.Argument(help="The member.")],
    db: Db = "hub.db",
    public_key: Annotated[str | None, typer.Option(help="A new signing key; the old one is retired.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Give a member a new token, and with --public-key a new signing key."""
    token, database = new_token(), _database(db)
    try:
        public = public_of(public_key) if public_key else None
        with database.write() as c:
            database.rotate(c, name, token, _now())
            if public is not None:
                database.add_key(c, name, public, _now())
    except (HubError, DeskError) as error:
        stop(str(error))
    hand_over(name, token, token_file)


@audit_app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(help="Folder for the report and the files.")],
    db: Annotated[str | None, typer.Option("--db", help="The hub's database: the hub's side.", envvar="STILLWATCH_HUB_DB")] = None,
    desk: Annotated[Path | None, typer.Option("--desk", help="A lab's desk: the lab's side.")] = None,
) -> None:
    """Write what counsel needs: what left, what was removed, why it was lawful, refusals, decisions, error and appeal rates."""
    if (db is None) == (desk is None):
        stop("name one side: --db for the hub's, --desk for a lab's")
    try:
        if desk is not None:
            pack = audit.of_desk(open_desk(desk))
        else:
            database = _database(db or "")
            with database.read() as c:
                pack = audit.of_hub(database, c)
        audit.write(pack, out)
    except (DeskError, OSError) as error:
        stop(str(error))
    print(f"Report: {out / 'report.html'}; {len(pack.files)} files, listed with their digests in {out / 'manifest.json'}")


# A member's side


def connected(desk: Desk) -> HubClient:
    """The hub that the desk has joined.

    Raises:
        DeskError: none.
    """
    state = desk.state()
    if "hub" not in state:
        raise DeskError(f"{desk.folder}: not joined to a hub; run stillwatch hub join --desk {desk.folder} --hub URL --token-file FILE")
    return HubClient(state["hub"], state["token"], collection=state.get("collection", "signals"))


def opened(folder: Path) -> Desk:
    """The desk, or the end of the command."""
    try:
        return open_desk(folder)
    except DeskError as error:
        stop(str(error))


def key_holders(urls: list[str], token_files: list[Path]) -> list[KeyHolderClient]:
    """The key-holders that a command names, each with its token."""
    if len(urls) != len(token_files):
        stop("give as many --key-holder-token as --key-holder")
    return [KeyHolderClient(u, t.read_text().strip()) for u, t in zip(urls, token_files, strict=True)]


@hub_app.command("join")
def join_command(
    desk: DeskDir,
    hub: Annotated[str, typer.Option(help="The hub's address.")],
    token_file: Annotated[Path, typer.Option(help="The token that its operator gave.")],
    collection: Annotated[str, typer.Option(help="Collection to share in.")] = "signals",
) -> None:
    """Tell the desk which hub it shares with, and keep the log's key as it is seen now."""
    home = opened(desk)
    try:
        token = token_file.read_text().strip()
        client = HubClient(hub, token, collection=collection)
        directory = client.directory()
    except (ClientError, OSError) as error:
        stop(str(error))
    if home.member not in directory.of:
        stop(f"the hub does not know this desk's key; its operator must enrol {home.key.public_key().public_bytes_raw().hex()}")
    home.remember(hub=hub, token=token, collection=collection, log=directory.log)
    print(f"Joined {hub}; log {directory.log}")


@hub_app.command("push")
def push_command(desk: DeskDir) -> None:
    """Send all releases that are approved and not yet sent."""
    home = opened(desk)
    try:
        client, folders = connected(home), sharing.waiting(home)
        for folder in folders:
            told = sharing.send(home, folder, client, time.time())
            print(f"{folder.name}: {told.stored} objects stored, {len(told.failures)} refused")
            for ident, why in told.failures:
                print(f"  {ident}: {why}")
    except (DeskError, ClientError) as error:
        stop(str(error))
    print(f"{len(folders)} releases sent")


@hub_app.command("pull")
def pull_command(desk: DeskDir) -> None:
    """Take in what partners released since the last pull; retractions and expiry re-open decisions."""
    home = opened(desk)
    try:
        news = sharing.pull(home, connected(home), time.time())
    except (DeskError, ClientError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        print("Stopped; what came in is kept, the next pull goes on from there.")
        raise typer.Exit(130) from None
    _tell(news)


def _tell(news: sharing.News) -> None:
    print(f"{news.new} new objects from partners")
    for ident, what in news.answered:
        print(f"A partner on {ident}: {what}")
    for ident in news.retracted:
        print(f"Retracted: {ident}")
    for ident in news.expired:
        print(f"Expired: {ident}")
    for n in news.reopened:
        print(f"Decision {n} is open again: what it relied on has lapsed")
    for ident, why in news.refused:
        print(f"Not believed: {ident}: {why}")


@hub_app.command("watch")
def watch_command(
    desk: DeskDir,
    every: Annotated[float | None, typer.Option(min=1, help="Pull and check again every so many seconds, until Ctrl-C.")] = None,
) -> None:
    """Check that the hub's log was not rewritten, sign its head as a witness, and pull."""
    home = opened(desk)
    while True:
        try:
            client, state = connected(home), home.state()
            note, head = client.watch(state.get("seen"), state["log"], home.key, int(time.time()))
            home.remember(seen=note)
            news = sharing.pull(home, client, time.time())
        except LogError as error:
            stop(f"DO NOT TRUST THIS HUB: {error}. Keep {home.folder / 'state.json'} as evidence and tell the other members")
        except (DeskError, ClientError) as error:
            if every is None:
                stop(str(error))
            print(error)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        else:
            print(f"The log, {head.size} entries, begins with what was seen before; cosigned.")
            _tell(news)
            sys.stdout.flush()
        if every is None:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


@hub_app.command("inbox")
def inbox_command(desk: DeskDir) -> None:
    """List partners' campaigns: live, retracted or expired."""
    home = opened(desk)
    table = Table(title="Partners' campaigns")
    for name in ("campaign", "partner", "state", "until", "accounts", "techniques", "seen by others"):
        table.add_column(name, no_wrap=name == "campaign")
    records = [(p, r) for p, r in home.inbox()]
    sightings = [r for _, r in records if r["object"]["type"] == "sighting" and r["object"].get("count") != 0]
    for path, r in records:
        if r["object"]["type"] != "campaign":
            continue
        document = next(e["document"] for e in r["object"]["extensions"].values() if "document" in e)
        size = f"below {10 ** document['accounts']:,}"
        others = str(sum(s["about"] == path.stem for s in sightings))
        table.add_row(
            path.stem, path.parent.name, r["state"], r["valid_until"], size, " ".join(t["id"] for t in document["techniques"]), others
        )
    Console(width=160).print(table)


@hub_app.command("decide")
def decide_command(
    campaign: Annotated[str, typer.Argument(help="A partner's campaign: its id, or the beginning of it.")],
    action: Annotated[str, typer.Argument(help="watch, prioritise, limit, block or none.")],
    desk: DeskDir,
    by: Annotated[str, typer.Option(help="Who decides.")],
    found: Annotated[Path | None, typer.Option(help="What detect wrote here; needed to limit or block.")] = None,
    evidence: Annotated[str | None, typer.Option(help="The campaign found here that the decision rests on.")] = None,
    note: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
) -> None:
    """Record a decision of your own; a partner's word alone never limits or blocks anybody."""
    if action not in sharing.ACTIONS:
        stop(f"{action}: none of {', '.join(sharing.ACTIONS)}")
    home = opened(desk)
    try:
        own = sharing.found_campaign(found, evidence) if found and evidence else None
        number = sharing.decide(home, campaign, action, by, own, note, time.time())
    except DeskError as error:
        stop(str(error))
    print(f"Decision {number}: {action}, by {by}")


@hub_app.command("contribute")
def contribute_command(
    release: Annotated[str, typer.Argument(help="A campaign of ours that was released.")],
    desk: DeskDir,
    found: Annotated[Path, typer.Option(help="What detect wrote with --out.")],
    evidence: Annotated[str, typer.Option(help="The campaign found here that was released.")],
    accounts: Annotated[Path, typer.Option(help="Sign-up records, CSV or Parquet.")],
    key_holder: Annotated[list[str], typer.Option(help="Address of a key-holder; as many as the key is split among need be.")],
    key_holder_token: Annotated[list[Path], typer.Option(help="File with the token for each, in the same order.")],
    column: Column = [],  # noqa: B006 - never changed
    key: Annotated[Path | None, typer.Option(help="Identity key of that run. Default: identity.key in --found.")] = None,
) -> None:
    """Blind the traits of a campaign's accounts and have the hub match them; only who sent a trait too is told."""
    home = opened(desk)
    try:
        folder, own = home.outgoing(release), sharing.found_campaign(found, evidence)
        if not (folder / "sent.json").exists():
            stop(f"{folder.name}: not sent yet; release it first")
        table = pq.read_table(found / "accounts.parquet", columns=["account", "campaign"]).to_pylist()
        members = [r["account"] for r in table if r["campaign"] == own.id]
        values, notices = traits_of(accounts, members, key or found / "identity.key", mapping(column))
        holders = key_holders(key_holder, key_holder_token)
        days = [datetime.fromtimestamp(t, UTC).date() for t in (own.first, own.last)]
        context = Context(folder.name, days[0], days[1])
        told = sharing.contribute(home, context, values, len(members), connected(home), holders, time.time())
    except (DeskError, IntakeError, ClientError, ProofError, OSError) as error:
        stop(str(error))
    for notice in notices:
        Console(stderr=True).print(f"Note: {notice}", highlight=False, markup=False, soft_wrap=True)
    for trait, said in told.items():
        print(f"{trait}: {said['taken']} traits sent, {said['answered']} of them at quorum")


@hub_app.command("answers")
def answers_command(desk: DeskDir) -> None:
    """What became of our blinded traits: which of them enough others have sent too."""
    home = opened(desk)
    try:
        state = home.state()
        after, found = 0, list[dict[str, Any]]()
        while page := connected(home).answers(after):
            found += page
            after = page[-1]["seq"]
    except (DeskError, ClientError) as error:
        stop(str(error))
    mine = state.get("tags", {})
    by: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for a in found:
        by.setdefault((mine.get(a["tag"], ["unknown"])[0], a["trait"]), []).append(a)
    for (campaign, trait), some in sorted(by.items()):
        others = sorted({c for a in some for c in a["campaigns"]} - {campaign})
        print(
            f"{campaign}: {len(some)} {trait} traits seen by at least {some[0]['at_least']} members; their campaigns: {', '.join(others) or 'none'}"
        )
    if not found:
        print("No trait of ours has reached its quorum.")
