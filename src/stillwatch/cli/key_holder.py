"""The key-holder on the command line."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.console import say, stop
from stillwatch.cli.serving import hand_over, log_as_json, serve
from stillwatch.share.keyholder.server import KeyHolder, KeyHolderError, deal
from stillwatch.share.net.access import new_token
from stillwatch.share.tokens.seal import epoch_of

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Folder = Annotated[Path, typer.Option("--dir", help="The key-holder's folder.")]


@app.command("serve")
def key_holderserve(
    folder: Folder = Path("key-holder"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8471,
    quota: Annotated[int, typer.Option(min=1, help="Evaluations for one member and kind of trait in a day.")] = 100_000,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate chain (PEM).")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    client_ca: Annotated[Path | None, typer.Option(help="Ask members for certificates of this authority (mutual TLS).")] = None,
    behind_proxy: Annotated[
        str | None,
        typer.Option(
            help="Address or network of the proxy that ends TLS; its X-Forwarded-For and -Proto are believed, and plain HTTP is served to it."
        ),
    ] = None,
) -> None:
    """Evaluate blinded traits; a key per kind and quarter is made here and destroyed here."""
    log_as_json()
    serve(KeyHolder(folder, a_day=quota).app(), host, port, certificate, certificate_key, client_ca, behind_proxy)


@app.command("enrol")
def key_holder_enrol(
    name: Annotated[str, typer.Argument(help="The member.")],
    folder: Folder = Path("key-holder"),
    token_file: Annotated[Path | None, typer.Option(help="Write the token here (mode 0600) instead of printing it.")] = None,
) -> None:
    """Enrol a member, or give it another token."""
    token = new_token()
    KeyHolder(folder).enrol(name, token)
    hand_over(name, token, token_file)


@app.command("revoke")
def key_holder_revoke(name: Annotated[str, typer.Argument(help="The member.")], folder: Folder = Path("key-holder")) -> None:
    """Shut a member out."""
    try:
        KeyHolder(folder).revoke(name)
    except KeyHolderError as error:
        stop(str(error))
    say(f"{name}: revoked")


@app.command("deal")
def key_holder_deal(
    folders: Annotated[list[Path], typer.Argument(help="A folder for each holder, to be carried to its machine.")],
    threshold: Annotated[int, typer.Option(min=1, help="Holders that must answer together.")] = 2,
    epoch: Annotated[str | None, typer.Option(help="Such as 2026q4; the current quarter if not given.")] = None,
) -> None:
    """Split a quarter's keys among holders, before witnesses; nothing of the whole key stays."""
    if threshold > len(folders):
        stop(f"--threshold: {threshold} of {len(folders)} holders cannot be")
    chosen = epoch or epoch_of(datetime.now(UTC).date())
    deal(folders, threshold, chosen)
    say(
        f"{chosen}: {threshold} of {len(folders)} holders answer together; carry each folder to its holder and delete it here: {', '.join(map(os.fspath, folders))}"
    )
