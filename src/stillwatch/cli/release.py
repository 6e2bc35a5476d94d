"""The door out on the command line."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from stillwatch.cli import codes
from stillwatch.cli.console import row, say, say_json, stop
from stillwatch.cli.member import DeskDir, connected, hand, opened
from stillwatch.cli.options import Json
from stillwatch.share import release as door
from stillwatch.share.desk import people as enrolment
from stillwatch.share.desk import sharing
from stillwatch.share.desk.analyst import read_bundle
from stillwatch.share.desk.desk import DeskError, make_desk, read_key, write_private
from stillwatch.share.desk.heads import own_up
from stillwatch.share.desk.incoming import partners_campaign
from stillwatch.share.desk.keychange import rotate_key
from stillwatch.share.desk.people import Hand
from stillwatch.share.net.access import ClientError
from stillwatch.share.release.policy import Role
from stillwatch.share.wire.stix import WireError
from stillwatch.watch.found import FoundError, found_campaign

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Found = Annotated[Path, typer.Option(help="What detect wrote with --out.")]
Counsel = Annotated[str | None, typer.Option(help="Counsel's name, where the legal basis is counsel's opinion.")]
CounselKey = Annotated[Path | None, typer.Option(help="Counsel's key, with --counsel.")]


@app.command("init")
def init_command(folder: Annotated[Path, typer.Argument(metavar="DESK", help="Folder to make.")]) -> None:
    """Make a desk: the lab's signing key, a policy to be read by counsel, an empty ledger."""
    try:
        desk = make_desk(folder)
    except DeskError as error:
        stop(str(error))
    say(f"Desk {folder}; member {desk.member}; public key {desk.key.public_key().public_bytes_raw().hex()}")
    say(f"Have counsel read {folder / 'policy.toml'}, then name who may approve: stillwatch release person NAME --desk {folder} --key FILE")


@app.command("person")
def person_command(
    name: Annotated[str, typer.Argument(help="As it shall stand in the ledger, in any script.")],
    desk: DeskDir,
    key: Annotated[
        Path | None, typer.Option(help="The person's own key; made on first use. It belongs to the person, not to the desk.")
    ] = None,
    counsel: Annotated[bool, typer.Option("--counsel", help="Approves releases and has the role of counsel.")] = False,
    role: Annotated[
        list[str] | None, typer.Option(help="release (approves), counsel, operator or auditor; as often as need be. Default: release.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the person's rights; what was done stays in the record.")] = False,
    by: Annotated[str | None, typer.Option(help="The second hand: somebody enrolled, needed after the first two persons.")] = None,
    by_key: Annotated[Path | None, typer.Option(help="The second hand's own key.")] = None,
) -> None:
    """Enrol a person with a key of their own, change their roles or remove them; after the first two it takes a second hand."""
    home = opened(desk)
    roles = _typed([*(role or ()), *(("release", "counsel") if counsel else ())] or ["release"], tuple[Role, ...], "--role")
    if remove and (key is not None or counsel or role):
        stop("--remove takes neither --key nor roles")
    if not remove and key is None:
        stop("--key is needed: the person's own key; it is made on first use")
    try:
        second = hand(by, by_key, "--by")
        if key is None:
            if second is None:
                stop("--remove needs a second hand: --by NAME --by-key FILE of somebody enrolled")
            enrolment.remove(home, name, time.time(), second)
            say(f"{name} may do nothing any more; removed by {second.name}")
            return
        made = not key.exists()
        if made:
            write_private(key, Ed25519PrivateKey.generate().private_bytes_raw())
        try:
            founded = enrolment.enrol(home, Hand(name, read_key(key)), tuple(dict.fromkeys(roles)), time.time(), second)
        except DeskError:
            if made:
                key.unlink()  # nobody's
            raise
    except (DeskError, OSError) as error:
        stop(str(error))
    what = "approve" if "release" in roles else f"act as {', '.join(roles)}"
    say(f"{name} may {what}; key {key}{' (a founder of this desk)' if founded else ''}")


@app.command("rotate-key")
def rotate_key_command(
    desk: DeskDir,
    by: Annotated[str, typer.Option(help="Your name, as in the ledger.")],
    by_key: Annotated[Path, typer.Option(help="Your own key.")],
) -> None:
    """Give the lab a new signing key that the old one endorses; what the old one signed stays the lab's."""
    home = opened(desk)
    try:
        after = rotate_key(home, Hand(by, read_key(by_key)), time.time())
    except (DeskError, OSError) as error:
        stop(str(error))
    say(f"Member {after.member}, before {home.member}; public key {after.key.public_key().public_bytes_raw().hex()}")
    say(f"Have the hub's operator enrol it (stillwatch hub rotate NAME --public-key HEX); the endorsement is {desk / 'key-change.json'}")


@app.command("gap")
def gap_command(
    desk: DeskDir,
    by: Annotated[str, typer.Option(help="Your name, as in the ledger.")],
    by_key: Annotated[Path, typer.Option(help="Your own key.")],
    second: Annotated[str, typer.Option(help="The other person, as in the ledger.")],
    second_key: Annotated[Path, typer.Option(help="The other person's own key.")],
    why: Annotated[str, typer.Option(help="How the entries were lost, for counsel.")],
) -> None:
    """Say, as two persons, that the ledger's newest entries are lost; it goes on, and the gap stands in it."""
    home = opened(desk)
    try:
        hands = Hand(by, read_key(by_key)), Hand(second, read_key(second_key))
        lost = own_up(home, connected(home), *hands, why, time.time())
    except (DeskError, ClientError, OSError) as error:
        stop(str(error))
    say(f"{len(lost)} heads of the hub's log are given up, by {by} and {second}; counsel's export names the gap")


@app.command("key")
def key_command(desk: DeskDir) -> None:
    """Print the lab's public key, which the hub's operator needs to enrol it."""
    say(opened(desk).key.public_key().public_bytes_raw().hex())


@app.command("prepare")
def prepare_command(
    campaign: Annotated[str, typer.Argument(help="A campaign's id, or the beginning of it.")],
    desk: DeskDir,
    found: Found,
    ground: Annotated[
        list[str] | None, typer.Option(help="A ground beyond terms of service; besides those that the evidence shows.")
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="A proxy operator's network, KIND=VALUE, such as proxy-pool=192.31.196.0/24.")
    ] = None,
    access_path: Annotated[str, typer.Option(help="api, cloud-marketplace, aggregator, reseller or unknown.")] = "unknown",
    target: Annotated[str | None, typer.Option(help="What capability it is after; else guessed from the techniques.")] = None,
    tlp: Annotated[str | None, typer.Option(help="clear, green, amber or amber+strict.")] = None,
    valid_days: Annotated[int | None, typer.Option(help="Days until it expires, at most 180.")] = None,
    counsel: Annotated[str | None, typer.Option(help="Counsel's name, to release what rule R01 holds back.")] = None,
    key: CounselKey = None,
) -> None:
    """Show the exact bytes that would leave beside what stays; or why nothing may."""
    named = [_network(n) for n in network or ()]
    _prepare(desk, found, campaign, named, ground, tlp, valid_days, access_path, target, counsel, key)


@app.command("import")
def import_command(
    bundle: Annotated[Path, typer.Argument(help="An analyst's STIX 2.1 bundle, as OpenCTI or MISP export one.")],
    campaign: Annotated[str, typer.Argument(help="The campaign found here that it is about: its id, or the beginning of it.")],
    desk: DeskDir,
    found: Found,
    ground: Annotated[
        list[str] | None, typer.Option(help="A ground beyond terms of service; besides those that the evidence shows.")
    ] = None,
    access_path: Annotated[str, typer.Option(help="api, cloud-marketplace, aggregator, reseller or unknown.")] = "unknown",
    target: Annotated[str | None, typer.Option(help="What capability it is after; else guessed from the techniques.")] = None,
    valid_days: Annotated[int | None, typer.Option(help="Days until it expires, at most 180.")] = None,
    counsel: Annotated[str | None, typer.Option(help="Counsel's name, to release what rule R01 holds back.")] = None,
    key: CounselKey = None,
) -> None:
    """Prepare a release of a campaign of ours with the networks and the marking of a bundle; everything else of it stays."""
    try:
        brought = read_bundle(bundle, datetime.now(UTC).date())
    except (DeskError, OSError) as error:
        stop(str(error))
    table = Table(title=f"{bundle}: {len(brought.networks)} networks go through the door; what stays of it")
    table.add_column("class")
    table.add_column("objects", justify="right")
    for what, n in brought.stays:
        row(table, what, str(n))
    Console().print(table)
    named = [{"kind": kind, "value": value} for kind, value in brought.networks]
    _prepare(desk, found, campaign, named, ground, brought.tlp or None, valid_days, access_path, target, counsel, key)


def _prepare(
    desk: Path,
    found: Path,
    campaign: str,
    named: list[dict[str, str]],
    ground: list[str] | None,
    tlp: str | None,
    valid_days: int | None,
    access_path: str,
    target: str | None,
    counsel: str | None,
    key: Path | None,
) -> None:
    home = opened(desk)
    try:
        subject = found_campaign(found, campaign)
        releasing = hand(counsel, key, "--counsel")
        draft = door.Draft(
            subject,
            grounds=_typed(sorted({*door.grounds_of(subject), *(ground or ())}), tuple[door.Ground, ...], "--ground"),
            networks=_typed(named, tuple[door.Network, ...], "--network"),
            tlp=_typed(tlp, door.Tlp | None, "--tlp"),
            valid_days=valid_days,
        )
        made = sharing.prepare_campaign(home, subject, draft, time.time(), counsel=releasing, access_path=access_path, target=target)
    except (DeskError, FoundError, OSError, WireError) as error:
        stop(str(error))
    _show(made, desk)


def _typed(value: object, kind: Any, option: str) -> Any:
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        stop(f"{option}: {error}; see docs/sharing.md")


def _network(text: str) -> dict[str, str]:
    kind, found, value = text.partition("=")
    if not found:
        stop(f"--network: {text}: write KIND=VALUE, such as proxy-pool=192.31.196.0/24")
    return {"kind": kind, "value": value}


def _show(made: sharing.Prepared | door.Withheld, desk: Path) -> None:
    console = Console()
    if isinstance(made, door.Withheld):
        table = Table(title="Withheld: nothing leaves")
        for name in ("rule", "why", "reference"):
            table.add_column(name)
        for r in made.refusals:
            row(table, r.rule, r.reason, r.reference)
        console.print(table)
        raise typer.Exit(codes.NO)
    say(f"What would leave: {made.release.id}\n")
    say(made.release.canonical.decode())
    say(f"\nAs STIX 2.1, {len(made.bundle):,} bytes to the last: {made.folder / 'bundle.json'}\n")
    if made.stays:
        table = Table(title="What stays")
        table.add_column("class")
        table.add_column("removed", justify="right")
        table.add_column("what it is")
        for what, n in made.stays:
            row(table, what, str(n), sharing.STAYS[what])
        console.print(table)
    say(f"Next: stillwatch release approve {made.release.id} --by NAME --key FILE --desk {desk}")


@app.command("approve")
def approve_command(
    release: Annotated[str, typer.Argument(help="The release's id, or the beginning of it.")],
    desk: DeskDir,
    by: Annotated[str, typer.Option(help="Your name, as in the ledger.")],
    key: Annotated[Path, typer.Option(help="Your own key.")],
) -> None:
    """Sign what was prepared, as a named person with the role; the signature travels with the document."""
    home = opened(desk)
    try:
        made = sharing.approve(home, release, Hand(by, read_key(key)), time.time())
    except (DeskError, OSError, WireError) as error:
        stop(str(error))
    say(f"Approved by {by}: {made.id}. Next: stillwatch release send {made.id} --desk {desk}")


@app.command("send")
def send_command(release: Annotated[str, typer.Argument(help="The release's id, or the beginning of it.")], desk: DeskDir) -> None:
    """Send an approved release to the hub; sending twice does no harm."""
    home = opened(desk)
    try:
        ident = home.outgoing(release).id
        told = sharing.send(home, ident, connected(home), time.time())
    except (DeskError, ClientError) as error:
        stop(str(error))
    for one, why in told.failures:
        say(f"refused: {one}: {why}")
    say(f"{told.stored} objects stored at the hub, {len(told.failures)} refused: {ident}")
    if told.note:
        say(told.note, error=True)
    if told.failures:
        raise typer.Exit(codes.NO)


@app.command("retract")
def retract_command(
    campaign: Annotated[str, typer.Argument(help="The id of a campaign of ours that was released.")],
    desk: DeskDir,
    reason: Annotated[str, typer.Option(help="error, appeal-upheld, evidence-lapsed or legal.")],
    counsel: Counsel = None,
    key: CounselKey = None,
) -> None:
    """Prepare the withdrawal of a campaign everywhere; approve and send it like any release."""
    home = opened(desk)
    try:
        made = sharing.answer(
            home, home.outgoing(campaign).id, time.time(), kind="retraction", value=reason, counsel=hand(counsel, key, "--counsel")
        )
    except (DeskError, OSError, WireError) as error:
        stop(str(error))
    _show(made, desk)


@app.command("sighting")
def sighting_command(
    campaign: Annotated[str, typer.Argument(help="A partner's campaign: its id, or the beginning of it.")],
    desk: DeskDir,
    seen: Annotated[bool, typer.Option("--seen/--not-seen", help="Whether it was seen here.")],
    first: Annotated[str, typer.Option(help="First day that was looked at, such as 2026-11-01.")],
    last: Annotated[str | None, typer.Option(help="Last day; today if not given.")] = None,
    counsel: Counsel = None,
    key: CounselKey = None,
) -> None:
    """Prepare an answer to a partner's campaign: seen here or looked for in vain; no number."""
    home = opened(desk)
    try:
        days = date.fromisoformat(first), date.fromisoformat(last) if last else datetime.now(UTC).date()
        value = "seen" if seen else "not-seen"
        made = sharing.answer(
            home,
            partners_campaign(home, campaign).id,
            time.time(),
            kind="sighting",
            value=value,
            days=days,
            counsel=hand(counsel, key, "--counsel"),
        )
    except (ValueError, OSError) as error:
        stop(str(error))
    _show(made, desk)


@app.command("opinion")
def opinion_command(
    campaign: Annotated[str, typer.Argument(help="A partner's campaign: its id, or the beginning of it.")],
    opinion: Annotated[str, typer.Argument(help="strongly-disagree, disagree, neutral, agree or strongly-agree.")],
    desk: DeskDir,
    counsel: Counsel = None,
    key: CounselKey = None,
) -> None:
    """Prepare an opinion on a partner's campaign; disagreement reports a false positive."""
    home = opened(desk)
    try:
        made = sharing.answer(
            home, partners_campaign(home, campaign).id, time.time(), kind="opinion", value=opinion, counsel=hand(counsel, key, "--counsel")
        )
    except (DeskError, OSError, WireError) as error:
        stop(str(error))
    _show(made, desk)


@app.command("withheld")
def withheld_command(desk: DeskDir, as_json: Json = False) -> None:
    """List what was refused at the door, and why."""
    home = opened(desk)
    try:
        entries = [e for e in home.ledger() if e["kind"] == "withheld"]
    except DeskError as error:
        stop(str(error))
    if as_json:
        say_json({"withheld": [{"at": e["at"], "subject": e["detail"]["subject"], "refusals": e["detail"]["refusals"]} for e in entries]})
        return
    table = Table(title=f"{len(entries)} refusals")
    for name in ("when", "what", "rule", "why"):
        table.add_column(name)
    for e in entries:
        for r in e["detail"]["refusals"]:
            row(table, e["at"], e["detail"]["subject"], r["rule"], r["reason"])
    Console().print(table if entries else "Nothing was withheld.")
