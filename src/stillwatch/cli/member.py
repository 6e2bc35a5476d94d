"""The hub on the command line: a member's side."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stillwatch.cli import codes
from stillwatch.cli.console import row, say, say_json, stop, stopped
from stillwatch.cli.options import Column, Json
from stillwatch.records import ACTIONS
from stillwatch.share.desk import sharing
from stillwatch.share.desk.desk import Desk, DeskError, open_desk
from stillwatch.share.hub.client import HubClient
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.net.access import ClientError
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


@app.command("join")
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
    say(f"Joined {hub}; log {directory.log}")


@app.command("push")
def push_command(desk: DeskDir) -> None:
    """Send all releases that are approved and not yet sent."""
    home = opened(desk)
    try:
        client, folders, refused = connected(home), sharing.waiting(home), 0
        for folder in folders:
            told = sharing.send(home, folder, client, time.time())
            say(f"{folder.name}: {told.stored} objects stored, {len(told.failures)} refused")
            refused += len(told.failures)
            for ident, why in told.failures:
                say(f"  {ident}: {why}")
    except (DeskError, ClientError) as error:
        stop(str(error))
    say(f"{len(folders)} releases sent")
    if refused:
        raise typer.Exit(codes.NO)


@app.command("pull")
def pull_command(desk: DeskDir) -> None:
    """Take in what partners released since the last pull; retractions and expiry re-open decisions."""
    home = opened(desk)
    try:
        news = sharing.pull(home, connected(home), time.time())
    except (DeskError, ClientError) as error:
        stop(str(error))
    except KeyboardInterrupt:
        stopped("Stopped; what came in is kept, the next pull goes on from there.")
    _tell(news)


def _tell(news: sharing.News) -> None:
    say(f"{news.new} new objects from partners")
    for ident, what in news.answered:
        say(f"A partner on {ident}: {what}")
    for ident in news.retracted:
        say(f"Retracted: {ident}")
    for ident in news.expired:
        say(f"Expired: {ident}")
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
            client, state = connected(home), home.state()
            note, head = client.watch(state.get("seen"), state["log"], home.key, int(time.time()))
            home.remember(seen=note)
            news = sharing.pull(home, client, time.time())
        except LogError as error:
            stop(
                f"DO NOT TRUST THIS HUB: {error}. Keep {home.folder / 'state.json'} as evidence and tell the other members", codes.DISTRUST
            )
        except (DeskError, ClientError) as error:
            if every is None:
                stop(str(error))
            say(error)
        except KeyboardInterrupt:
            stopped("Stopped; what came in is kept.")
        else:
            say(f"The log, {head.size} entries, begins with what was seen before; cosigned.")
            _tell(news)
            sys.stdout.flush()
        if every is None:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            stopped()


@app.command("inbox")
def inbox_command(desk: DeskDir, as_json: Json = False) -> None:
    """List partners' campaigns: live, retracted or expired."""
    home = opened(desk)
    records = [(p, r) for p, r in home.inbox()]
    sightings = [r for _, r in records if r["object"]["type"] == "sighting" and r["object"].get("count") != 0]
    campaigns: list[dict[str, Any]] = []
    for path, r in records:
        if r["object"]["type"] != "campaign":
            continue
        document = next(e["document"] for e in r["object"]["extensions"].values() if "document" in e)
        one = {"campaign": path.stem, "partner": path.parent.name, "state": r["state"], "until": r["valid_until"]}
        one["accounts_below"] = 10 ** document["accounts"]
        one["techniques"] = [t["id"] for t in document["techniques"]]
        one["seen_by_others"] = sum(s["about"] == path.stem for s in sightings)
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
    by: Annotated[str, typer.Option(help="Who decides.")],
    found: Annotated[Path | None, typer.Option(help="What detect wrote here; needed to limit or block.")] = None,
    evidence: Annotated[str | None, typer.Option(help="The campaign found here that the decision rests on.")] = None,
    note: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
) -> None:
    """Record a decision of your own; a partner's word alone never limits or blocks anybody."""
    if action not in ACTIONS:
        stop(f"{action}: none of {', '.join(ACTIONS)}")
    home = opened(desk)
    try:
        own = found_campaign(found, evidence) if found and evidence else None
        number = sharing.decide(home, campaign, action, by, own, note, time.time())
    except (DeskError, FoundError) as error:
        stop(str(error))
    say(f"Decision {number}: {action}, by {by}")


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
        folder, own = home.outgoing(release), found_campaign(found, evidence)
        if not (folder / "sent.json").exists():
            stop(f"{folder.name}: not sent yet; release it first")
        table = pq.read_table(found / "accounts.parquet", columns=["account", "campaign"]).to_pylist()
        members = [r["account"] for r in table if r["campaign"] == own.id]
        values, notices = traits_of(accounts, members, key or found / "identity.key", mapping(column))
        holders = key_holders(key_holder, key_holder_token)
        document = json.loads((folder / "document.json").read_bytes())
        context = Context(folder.name, *(date.fromisoformat(document[day]) for day in ("first_day", "last_day")))
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
