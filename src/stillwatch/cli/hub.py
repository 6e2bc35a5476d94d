"""The hub on the command line: its operator's side."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.cli.console import say, stop
from stillwatch.cli.serving import hand_over, log_as_json, serve
from stillwatch.share.desk.desk import DeskError, public_of, read_key, write_private
from stillwatch.share.hub.database import Database, HubError, open_database
from stillwatch.share.hub.server import Hub, Limits
from stillwatch.share.net.access import new_token

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Db = Annotated[str, typer.Option("--db", help="SQLite file, or postgresql://USER:PASSWORD@HOST/NAME.", envvar="STILLWATCH_HUB_DB")]


def database_at(url: str) -> Database:
    """The hub's database, or the end of the command."""
    try:
        return Database(open_database(url))
    except HubError as error:
        stop(str(error))


def _now() -> int:
    return int(time.time() * 1_000_000)


@app.command("serve")
def serve_command(
    db: Db = "hub.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8470,
    origin: Annotated[str, typer.Option(help="The log's name: host and path, without scheme.")] = "hub.example/log",
    key: Annotated[Path, typer.Option(help="Key that signs the log; made on first use.")] = Path("hub.key"),
    quorum: Annotated[int, typer.Option(min=2, help="Owners that must have sent a trait before anybody is told.")] = 3,
    answer_every: Annotated[int, typer.Option(min=1, help="Seconds from answers to answers; less than a day makes an oracle.")] = 86_400,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second that a member may make in the long run.")] = 50.0,
    max_body: Annotated[int, typer.Option(min=1024, help="Bytes of a request's body at most.")] = 16 * 1024 * 1024,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate chain (PEM).")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="Ask members for certificates of this authority (mutual TLS).")] = None,
) -> None:
    """Serve TAXII 2.1, the log and the answers at quorum."""
    if answer_every < 60 and host not in ("127.0.0.1", "::1", "localhost"):
        stop(
            f"--answer-every {answer_every}: at least 60 beyond loopback, and a day outside of trials: between answers nobody can try guesses"
        )
    log_as_json()
    if not key.exists():
        write_private(key, Ed25519PrivateKey.generate().private_bytes_raw())
    try:
        signing = read_key(key)
    except DeskError as error:
        stop(str(error))
    database = database_at(db)
    limits = Limits(body=max_body, requests=rate, burst=10 * rate, quorum=quorum, answer_every=answer_every)
    hub = Hub(database, origin=origin, key=signing, limits=limits)
    serve(hub.app(), host, port, certificate, certificate_key, client_ca)
    database.close()


@app.command("enrol")
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
    token, database = new_token(), database_at(db)
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


@app.command("revoke")
def revoke_command(name: Annotated[str, typer.Argument(help="The member.")], db: Db = "hub.db") -> None:
    """Shut a member out at once; what it signed stays verifiable."""
    database = database_at(db)
    try:
        with database.write() as c:
            database.revoke(c, name, _now())
    except HubError as error:
        stop(str(error))
    say(f"{name}: revoked")


@app.command("rotate")
def rotate_command(
    name: Annotated[str, typer.Argument(help="The member.")],
    db: Db = "hub.db",
    public_key: Annotated[str | None, typer.Option(help="A new signing key; the old one is retired.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Give a member a new token, and with --public-key a new signing key."""
    token, database = new_token(), database_at(db)
    try:
        public = public_of(public_key) if public_key else None
        with database.write() as c:
            database.rotate(c, name, token, _now())
            if public is not None:
                database.add_key(c, name, public, _now())
    except (HubError, DeskError) as error:
        stop(str(error))
    hand_over(name, token, token_file)
