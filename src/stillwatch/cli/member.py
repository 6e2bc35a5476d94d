"""The hub on the command line: a member's side."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table

from stillwatch.cli import codes
from stillwatch.cli.case import case_file_of
from stillwatch.cli.console import row, say, say_json, stop, stopped
from stillwatch.cli.options import Column, Json
from stillwatch.records import ACTIONS
from stillwatch.share.desk import incoming, sharing
from stillwatch.share.desk.desk import Desk, DeskError, open_desk, read_key
from stillwatch.share.desk.people import Hand
from stillwatch.share.desk.witness import accept_restore, watch
from stillwatch.share.hub.client import HubClient
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.net.access import ClientError, connection, is_loopback
from stillwatch.share.tlog.log import LogError
from stillwatch.share.tokens.oprf import ProofError
from stillwatch.share.tokens.seal import SUSPICION, Context
from stillwatch.watch.found import FoundError, found_campaign

app = typer.Typer(add_completion=False, rich_markup_mode=None)
DeskDir = Annotated[Path, typer.Option("--desk", help="The lab's desk; made with release init.")]


def connected(desk: Desk) -> HubClient:
    """The hub that the desk has joined.

    Raises:
        DeskError: none.
        ClientError: its address is plain HTTP to another machine, or a certificate's file cannot be read.
    """
    state = desk.state()
    if "hub" not in state:
        raise DeskError(f"{desk.folder}: not joined to a hub; run stillwatch hub join --desk {desk.folder} --hub URL --token-file FILE")
    http = connection(state["hub"], timeout=60, **state.get("tls", {}))
    return HubClient(state["hub"], state["token"], http, collection=state.get("collection", "signals"))


def opened(folder: Path) -> Desk:
    """The desk, or the end of the command."""
    try:
        return open_desk(folder)
    except DeskError as error:
        stop(str(error))


def hand(name: str | None, key: Path | None, option: str) -> Hand | None:
    """Somebody who acts, from two options that go together; None where neither is given.

    Raises:
        DeskError: the file is no key.
        OSError: it cannot be read.
    """
    if (name is None) != (key is None):
        stop(f"{option}: give the name and the person's own key, or neither")
    return Hand(name, read_key(key)) if name is not None and key is not None else None


def key_holders(urls: list[str], token_files: list[Path]) -> list[KeyHolderClient]:
    """The key-holders that a command names, each with its token."""
    if len(urls) != len(token_files):
        stop("give as many --key-holder-token as --key-holder")
    return [KeyHolderClient(u, t.read_text().strip()) for u, t in zip(urls, token_files, strict=True)]


@app.command("join")
def join_command(
    desk: DeskDir,
    hub: Annotated[str, typer.Option(help="The hub's address.")],
    token_file: Annotated[Path, typer.Option(help="The token that its operator gave.")],
    collection: Annotated[str, typer.Option(help="Collection to share in.")] = "signals",
    log_key: Annotated[str | None, typer.Option(help="The log's key, as the hub's operator gave it to you by another way.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file with the authority of the hub's certificate. Default: the system's.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file with this lab's own certificate, for a hub that asks for one.")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
) -> None:
    """Tell the desk which hub it shares with, and keep the log's key; no token leaves before that key was confirmed."""
    home = opened(desk)
    files = {"ca": ca, "certificate": certificate, "key": certificate_key}
    tls = {name: str(path.resolve()) for name, path in files.items() if path is not None}
    try:
        token = token_file.read_text().strip()
        client = HubClient(hub, token, connection(hub, timeout=60, **tls), collection=collection)
        found = client.log_key()
        _confirmed(hub, found, log_key)
        directory = client.directory()
        if directory.log != found:
            stop(f"{hub}: shows one log to strangers and another to members: {found}, {directory.log}", codes.DISTRUST)
    except (ClientError, OSError) as error:
        stop(str(error))
    if home.member not in directory.of:
        stop(f"the hub does not know this desk's key; its operator must enrol {home.key.public_key().public_bytes_raw().hex()}")
    try:
        sharing.tell_persons(home, client)
    except ClientError as error:
        stop(str(error))
    home.remember(hub=hub, token=token, collection=collection, log=directory.log, tls=tls)
    say(f"Joined {hub}; log {directory.log}")


def _confirmed(hub: str, found: str, expected: str | None) -> None:
    """Whether the log is the one that was meant, or the end of the command."""
    if expected is not None:
        if found != expected.strip():
            stop(f"{hub}: its log's key is {found}, not the one given with --log-key; nothing was sent", codes.DISTRUST)
    elif sys.stdin.isatty():
        name, _, key = found.partition("+")
        say(f"{hub} keeps the log {name}, whose key is\n  {key}\nAsk its operator, by another way than this, whether that is so.")
        if not typer.confirm("Is it?"):
            stop("not joined; nothing was sent")
    elif is_loopback(urlsplit(hub).hostname or ""):
        say(f"Taken as it is shown, for nobody was there to be asked: the log's key is {found}")
    else:
        stop(
            f"{hub}: its log's key is {found}; ask the operator by another way whether that is so, then give it with --log-key. Nothing was sent"
        )


@app.command("push")
def push_command(
    desk: DeskDir,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent before, for a hub that lost it.")] = False,
) -> None:
    """Send all releases that are approved and not yet sent."""
    home = opened(desk)
    sent, refused, notes = 0, 0, dict[str, None]()
    try:
        client = connected(home)
        for r in sharing.waiting(home, again=again):
            try:
                told = sharing.send(home, r.id, client, time.time())
            except DeskError as error:  # one that must not go does not keep the others
                say(f"not sent: {error}")
                refused += 1
                continue
            say(f"{r.id}: {told.stored} objects stored, {len(told.failures)} refused")
            sent, refused = sent + 1, refused + len(told.failures)
            notes |= {told.note: None} if told.note else {}
            for ident, why in told.failures:
                say(f"  {ident}: {why}")
    except (DeskError, ClientError) as error:
        stop(str(error))
    say(f"{sent} releases sent")
    for note in notes:
        say(note, error=True)
    if refused:
        raise typer.Exit(codes.NO)


@app.command("pull")
def pull_command(desk: DeskDir) -> None:
    """Take in what partners released since the last pull; retractions and expiry re-open decisions."""
    home = opened(desk)
    try:
        news = incoming.pull(home, connected(home), time.time())
    except LogError as error:
        _distrust(home, error)
    except (DeskError, ClientError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        stopped("Stopped; what came in is kept, the next pull goes on from there.")
    _tell(news)


def _distrust(home: Desk, error: LogError) -> NoReturn:
    stop(
        f"DO NOT TRUST THIS HUB: {error}. Nothing is pulled from it any more. Keep {home.folder / 'desk.db'} as evidence, write it out with stillwatch hub audit "
        "export, and hold the signed heads against the other members' by another way than this hub. Where it only went back to a backup: stillwatch hub accept-restore",
        codes.DISTRUST,
    )


def _tell(news: incoming.News) -> None:
    say(f"{news.new} new objects from partners")
    for ident, what in news.answered:
        say(f"A partner on {ident}: {what}")
    for ident in news.retracted:
        say(f"Retracted: {ident}")
    for ident in news.expired:
        say(f"Expired: {ident}")
    for ident in news.deleted:
        say(f"Deleted by its owner: {ident}")
    for n in news.reopened:
        say(f"Decision {n} is open again: what it relied on has lapsed")
    for ident, why in news.refused:
        say(f"Not believed: {ident}: {why}")


@app.command("watch")
def watch_command(
    desk: DeskDir,
    every: Annotated[float | None, typer.Option(min=1, help="Pull and check again every so many seconds, until Ctrl-C.")] = None,
) -> None:
    """Check that the hub's log was not rewritten, sign its head as a witness, and pull."""
    home = opened(desk)
    while True:
        try:
            client = connected(home)
            found, _ = watch(home, client, time.time())
            news = incoming.pull(home, client, time.time())
        except LogError as error:
            _distrust(home, error)
        except (DeskError, ClientError) as error:
            if every is None:
                stop(str(error))
            say(error)
        except KeyboardInterrupt:
            stopped("Stopped; what came in is kept.")
        else:
            say(f"The log, {found.head.size} entries, begins with what was seen before; cosigned.")
            if found.majority < found.head.size:
                say(
                    f"More than half of the {found.members} members have cosigned {found.majority or 'none'} of them; {found.cosigned} ever cosigned."
                )
            _tell(news)
            sys.stdout.flush()
        if every is None:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            stopped()


@app.command("accept-restore")
def accept_restore_command(
    desk: DeskDir,
    by: Annotated[str, typer.Option(help="Your name, as it stands in the ledger.")],
    key: Annotated[Path, typer.Option(help="Your own key.")],
) -> None:
    """Go on with a hub that went back to a backup and says so, signed; ask its operator by another way first."""
    home = opened(desk)
    try:
        done = accept_restore(home, connected(home), Hand(by, read_key(key)), time.time())
    except LogError as error:
        _distrust(home, error)
    except (DeskError, ClientError, OSError) as error:
        stop(str(error))
    say(f"Accepted by {by}: the log went back from {done.seen} entries that were seen to {done.size}, and goes on from there.")
    say(f"What was sent after that is lost there: stillwatch hub push --again --desk {desk}")


@app.command("inbox")
def inbox_command(desk: DeskDir, as_json: Json = False) -> None:
    """List partners' campaigns: live, retracted or expired."""
    home = opened(desk)
    sightings = Counter(r.about for r in home.inbox("sighting") if r.object.get("count") != 0)
    campaigns: list[dict[str, Any]] = []
    for r in home.inbox("campaign"):
        document = incoming.document_of(r)
        one: dict[str, Any] = {"campaign": r.id, "partner": r.owner, "state": r.state, "until": r.valid_until}
        one["accounts_below"] = 10 ** document["accounts"]
        one["techniques"] = [t["id"] for t in document["techniques"]]
        one["seen_by_others"] = sightings[r.id]
        campaigns.append(one)
    if as_json:
        say_json({"campaigns": campaigns})
        return
    table = Table(title="Partners' campaigns")
    for name in ("campaign", "partner", "state", "until", "accounts", "techniques", "seen by others"):
        table.add_column(name, no_wrap=name == "campaign")
    for c in campaigns:
        row(
            table,
            c["campaign"],
            c["partner"],
            c["state"],
            c["until"],
            f"below {c['accounts_below']:,}",
            " ".join(c["techniques"]),
            c["seen_by_others"],
        )
    Console(width=160).print(table)


@app.command("decide")
def decide_command(
    campaign: Annotated[str, typer.Argument(help="A partner's campaign: its id, or the beginning of it.")],
    action: Annotated[str, typer.Argument(help="watch, prioritise, limit, block or none.")],
    desk: DeskDir,
    by: Annotated[str, typer.Option(help="Who decides, as in the ledger.")],
    key: Annotated[Path, typer.Option(help="That person's own key.")],
    second: Annotated[str | None, typer.Option(help="Who decides with them; needed to limit or block.")] = None,
    second_key: Annotated[Path | None, typer.Option(help="The second person's own key.")] = None,
    found: Annotated[Path | None, typer.Option(help="What detect wrote here, with its case file; needed to limit or block.")] = None,
    evidence: Annotated[
        str | None, typer.Option(help="The campaign found here, decided on in the case file, that the decision rests on.")
    ] = None,
    note: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
) -> None:
    """Record a decision of your own; a partner's word alone never limits or blocks anybody."""
    if action not in ACTIONS:
        stop(f"{action}: none of {', '.join(ACTIONS)}")
    home = opened(desk)
    try:
        hands = Hand(by, read_key(key)), hand(second, second_key, "--second")
        own = incoming.local_evidence(found, evidence, case_file_of(found)) if found and evidence else None
        number = incoming.decide(home, campaign, action, hands[0], time.time(), evidence=own, second=hands[1], note=note)
    except (DeskError, OSError) as error:
        stop(str(error))
    say(f"Decision {number}: {action}, by {by}{f' and {second}' if second else ''}")


@app.command("contribute")
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
    quorum: Annotated[int | None, typer.Option(min=2, help="Accept this quorum although the hub's was higher before.")] = None,
) -> None:
    """Blind the traits of a campaign's accounts and have the hub match them; only who sent a trait too is told."""
    # Brings Arrow and intake along, which no other command of a member needs.
    import pyarrow.parquet as pq  # noqa: PLC0415

    from stillwatch.share.desk.traits import traits_of  # noqa: PLC0415
    from stillwatch.watch.intake import IntakeError, mapping  # noqa: PLC0415

    home = opened(desk)
    try:
        released, own = home.outgoing(release), found_campaign(found, evidence)
        if released.stage != "sent":
            stop(f"{released.id}: not sent yet; release it first")
        table = pq.read_table(found / "accounts.parquet", columns=["account", "campaign"]).to_pylist()
        members = [r["account"] for r in table if r["campaign"] == own.id]
        values, notices = traits_of(accounts, members, key or found / "identity.key", mapping(column))
        holders = key_holders(key_holder, key_holder_token)
        document = json.loads(released.document)
        context = Context(released.id, *(date.fromisoformat(document[day]) for day in ("first_day", "last_day")))
        told = sharing.contribute(home, context, values, len(members), connected(home), holders, time.time(), accept_quorum=quorum)
    except (DeskError, FoundError, IntakeError, ClientError, ProofError, OSError) as error:
        stop(str(error))
    for notice in notices:
        say(f"Note: {notice}", error=True)
    for trait, sent in told.items():
        say(f"{trait}: {sent} traits sent; answers come for all at once, after the day (UTC)")


@app.command("answers")
def answers_command(desk: DeskDir) -> None:
    """What became of our blinded traits: which of them enough others have sent too."""
    home = opened(desk)
    try:
        state, hub = home.state(), connected(home)
        after, found = 0, dict[str, dict[str, Any]]()
        while page := hub.answers(after):
            found |= {a["tag"]: a for a in page}
            after = page[-1]["seq"]
        until = datetime.fromtimestamp(hub.terms()["until"], UTC)
    except (DeskError, ClientError) as error:
        stop(str(error))
    mine = state.get("tags", {})
    by: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for a in found.values():
        campaign = mine.get(a["tag"], ["taken back"])[0]
        by.setdefault(("a suspicion" if campaign == SUSPICION else campaign, a["trait"]), []).append(a)
    for (campaign, trait), some in sorted(by.items()):
        matched = [a for a in some if a["state"] == "matched"]
        if matched:
            released = sum(a["released"] for a in matched)
            say(
                f"{campaign}: {len(matched)} {trait} traits seen by at least {matched[0]['at_least']} members; {released} in a partner's release"
            )
        if len(matched) < len(some):
            say(f"{campaign}: {len(some) - len(matched)} {trait} traits were at quorum and were taken back since")
    if not found:
        say("No trait of ours has reached its quorum.")
    say(f"Of what was sent until {until:%Y-%m-%d %H:%M:%S} UTC")
