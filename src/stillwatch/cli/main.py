"""The tree of commands.  What they do is in the modules named here."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Final

import typer

from stillwatch.cli import codes, interrupt
from stillwatch.cli.console import say, stop, stopped, words_of
from stillwatch.cli.lazy import Entry, group
from stillwatch.version import __version__

_HERE: Final = "stillwatch.cli."
_HUB: Final = _HERE + "hub"
_OPERATING: Final = _HERE + "operating"
_MEMBER: Final = _HERE + "member"
_RELEASE: Final = _HERE + "release"
_KEY_HOLDER: Final = _HERE + "key_holder"

ROOT: Final = {
    "detect": Entry(_HERE + "detect", "Find distillation campaigns in API logs."),
    "explain": Entry(_HERE + "detect", "Print why a campaign was found, reason by reason in bits, with the calls that show it."),
    "demo": Entry(_HERE + "detect", "Build a small world of honest customers and one ring, and detect on it."),
}
CASE: Final = {
    "list": Entry(_HERE + "case", "List all campaigns that runs found, those seen last first."),
    "show": Entry(
        _HERE + "case",
        "Print what became of a campaign: when it was seen, what it came out of, took in or was joined to, what was decided.",
    ),
    "decide": Entry(
        _HERE + "case",
        "Put down a decision about a campaign, with a digest of the evidence it rests on; decisions are never changed or deleted.",
    ),
}
RELEASE: Final = {
    "init": Entry(_RELEASE, "Make a desk: the lab's signing key, a policy to be read by counsel, an empty ledger.", "share"),
    "person": Entry(
        _RELEASE,
        "Enrol a person with a key of their own, change their roles or remove them; after the first two it takes a second hand.",
        "share",
    ),
    "gap": Entry(
        _RELEASE, "Say, as two persons, that the ledger's newest entries are lost; it goes on, and the gap stands in it.", "share"
    ),
    "rotate-key": Entry(
        _RELEASE, "Give the lab a new signing key that the old one endorses; what the old one signed stays the lab's.", "share"
    ),
    "key": Entry(_RELEASE, "Print the lab's public key, which the hub's operator needs to enrol it.", "share"),
    "prepare": Entry(_RELEASE, "Show the exact bytes that would leave beside what stays; or why nothing may.", "share"),
    "import": Entry(
        _RELEASE,
        "Prepare a release of a campaign of ours with the networks and the marking of a bundle; everything else of it stays.",
        "share",
    ),
    "approve": Entry(
        _RELEASE, "Sign what was prepared, as a named person with the role; the signature travels with the document.", "share"
    ),
    "send": Entry(_RELEASE, "Send an approved release to the hub; sending twice does no harm.", "share"),
    "retract": Entry(_RELEASE, "Prepare the withdrawal of a campaign everywhere; approve and send it like any release.", "share"),
    "sighting": Entry(_RELEASE, "Prepare an answer to a partner's campaign: seen here or looked for in vain; no number.", "share"),
    "opinion": Entry(_RELEASE, "Prepare an opinion on a partner's campaign; disagreement reports a false positive.", "share"),
    "withheld": Entry(_RELEASE, "List what was refused at the door, and why.", "share"),
}
HUB: Final = {
    "serve": Entry(_HUB, "Serve TAXII 2.1, the log and the answers at quorum.", "hub"),
    "enrol": Entry(_HUB, "Enrol a member; its token is shown once and only its hash is kept.", "hub"),
    "revoke": Entry(_HUB, "Shut a member out at once; what it signed stays verifiable.", "hub"),
    "rotate": Entry(_HUB, "Give a member a new token, and with --public-key a new signing key.", "hub"),
    "reinstate": Entry(_HUB, "Take a revoked member back, with the key it had and a new token.", "hub"),
    "members": Entry(_OPERATING, "List everybody who was ever enrolled: rights, key, token's end, the day it was last used.", "hub"),
    "keys": Entry(_OPERATING, "List every signing key that was ever enrolled, and when it was retired.", "hub"),
    "status": Entry(
        _OPERATING, "Show the hub in figures, and what somebody has to do: tokens that end, a log that nobody cosigned.", "hub"
    ),
    "check": Entry(_OPERATING, "Make the log's tree anew from its entries and compare everything that is kept; one line a fault.", "hub"),
    "backup": Entry(
        _OPERATING, "Copy the hub as it is at one moment, also while it is served, with the log's signed checkpoint beside the copy.", "hub"
    ),
    "restore": Entry(
        _OPERATING, "Put a backup in place if it checks, and say so in the log, signed, so that members have a way on.", "hub"
    ),
    "join": Entry(
        _MEMBER, "Tell the desk which hub it shares with, and keep the log's key; no token leaves before that key was confirmed.", "share"
    ),
    "push": Entry(_MEMBER, "Send all releases that are approved and not yet sent.", "share"),
    "pull": Entry(_MEMBER, "Take in what partners released since the last pull; retractions and expiry re-open decisions.", "share"),
    "watch": Entry(_MEMBER, "Check that the hub's log was not rewritten, sign its head as a witness, and pull.", "share"),
    "accept-restore": Entry(
        _MEMBER, "Go on with a hub that went back to a backup and says so, signed; ask its operator by another way first.", "share"
    ),
    "inbox": Entry(_MEMBER, "List partners' campaigns: live, retracted or expired.", "share"),
    "decide": Entry(_MEMBER, "Record a decision of your own; a partner's word alone never limits or blocks anybody.", "share"),
    "contribute": Entry(
        _MEMBER, "Blind the traits of a campaign's accounts and have the hub match them; only who sent a trait too is told.", "share"
    ),
    "answers": Entry(_MEMBER, "What became of our blinded traits: which of them enough others have sent too.", "share"),
}
AUDIT: Final = {
    "export": Entry(
        _HERE + "audit",
        "Write what counsel needs: what left, what was removed, why it was lawful, refusals, decisions, error and appeal rates.",
        "share",
    ),
}
KEY_HOLDER: Final = {
    "serve": Entry(_KEY_HOLDER, "Evaluate blinded traits; a key per kind and quarter is made here and destroyed here.", "hub"),
    "enrol": Entry(_KEY_HOLDER, "Enrol a member, or give it another token.", "hub"),
    "revoke": Entry(_KEY_HOLDER, "Shut a member out.", "hub"),
    "deal": Entry(_KEY_HOLDER, "Split a quarter's keys among holders, before witnesses; nothing of the whole key stays.", "hub"),
}
POOL: Final = {
    "send": Entry(_HERE + "pool", "First look: detect alone, then send the traits of suspects for matching, blinded and padded.", "share"),
    "look": Entry(
        _HERE + "pool",
        "Second look: detect with what partners' suspicions share, beside one's own evidence; the rest is a queue.",
        "share",
    ),
    "demo": Entry(_HERE + "pool", "The whole story: labs that see nothing alone, a hub, a key-holder, and a second look together.", "all"),
}
RANGE: Final = {
    "build": Entry(_HERE + "range", "Build a labelled world: log, sign-up records, truth."),
    "score": Entry(_HERE + "range", "Judge what a defence found in a world."),
    "play": Entry(_HERE + "range", "Let an adversary with a budget play against detect, day by day."),
    "evade": Entry(_HERE + "range", "Find out what it costs the first campaign of a spec to stay unseen."),
}


class Root(group(ROOT)):  # type: ignore[misc]
    """The top of the tree: what no command foresaw ends here, in one line and with a code of the table."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            stopped()
        except (BrokenPipeError, SystemExit) as error:
            if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):  # rich makes one of the other
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at the end must not fail again
            raise typer.Exit(codes.UNHEARD) from None
        except Exception as error:
            if interrupt.seen():  # a library made an error of it: DuckDB says "Query interrupted"
                stopped()
            if isinstance(error, OSError):
                stop(words_of(error))
            raise


def _below(name: str, entries: dict[str, Entry], text: str, into: typer.Typer) -> typer.Typer:
    made = typer.Typer(cls=group(entries), no_args_is_help=True, rich_markup_mode=None, help=text)
    into.add_typer(made, name=name)
    return made


def _version(wanted: bool) -> None:
    if wanted:
        say(f"stillwatch {__version__}")
        raise typer.Exit


# Plain help: it is read by people and by programs, and to draw boxes costs more time than all else.
app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Find, prove and stop adversarial distillation.",
)
_below("case", CASE, "Campaigns over runs: what became of each, and what was decided.", app)
_below("release", RELEASE, "The one door out: examine, approve, send.", app)
_hub = _below("hub", HUB, "The neutral exchange: its server, and a member's dealings with it.", app)
_below("audit", AUDIT, "What counsel needs.", _hub)
_below("key-holder", KEY_HOLDER, "The holder of the blinding keys; never in the hub's hand.", app)
_below("pool", POOL, "See with other labs what no lab sees alone.", app)
_below("range", RANGE, "Exercise a defence on labelled worlds before an attack does.", app)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    pass
