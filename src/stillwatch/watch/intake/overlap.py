"""Whether a log and an accounts file speak of the same accounts: a file keyed by other ids says nothing, and must not do so silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stillwatch.watch.intake.errors import IntakeError

_SHOWN: Final = 4  # characters of an id
_KEYED: Final = re.compile(r"m-[0-9a-f]{32}")
#: Slips that keep ids from meeting; each is only told, never mended.
_SLIPS: Final[Mapping[str, Callable[[str], str]]] = {
    "the case of letters did not count": str.casefold,
    "'.0' at the end were left out": lambda a: a.removesuffix(".0"),
    "zeroes at the beginning did not count": lambda a: a.lstrip("0"),
    "only what follows the last ':', '/' or '|' counted": lambda a: re.split(r"[:/|]", a)[-1],
    "quotes around ids did not count": lambda a: a.strip("'\"`"),
}


def shortened(account: str) -> str:
    """An id as it may be shown: up to a third of it and at most 4 characters, with its length; a mail address not at all.

    >>> shortened("u-0192a277fde2")
    'u-01… (14 characters)'
    """
    if _KEYED.fullmatch(account) or "@" in account:
        return "a mail address"
    shown = "".join(c if c.isprintable() else "?" for c in account[: min(_SHOWN, len(account) // 3)])
    return f"{shown}… ({len(account)} characters)"


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many accounts a log and a file name, and both; up to two shortened ids of each side that the other lacks.

    ``slip`` is what would let more ids meet, and ``mended`` how many would then, where it is at least half of the log's.
    """

    log: int
    file: int
    both: int
    log_ids: tuple[str, ...]
    file_ids: tuple[str, ...]
    slip: str = ""
    mended: int = 0

    def check(self, path: Path, side: str = "the log", why: str = "") -> tuple[str, ...]:
        """Notices: one when less than half of the log's accounts are in the file.

        Args:
            path: the file.
            side: what the ids were compared with.
            why: where it is known that another column would not help, why none meet and what to do.

        Raises:
            IntakeError: both name accounts, and none is in both.
        """
        if not self.log or not self.file or self.both * 2 >= self.log:
            return ()
        told = f"{self.both:,} of {self.log:,} accounts of {side} are in the file"
        here, there = _quoted(self.log_ids), _quoted(self.file_ids)
        if there:
            told += f"; ids look like {there} there, like {here} here"
        if self.slip:
            told += f"; {self.mended:,} would be if {self.slip}"
        if not self.both:
            advice = f"name the column of the ids that {side} has with --column account=NAME, or give the file of these accounts"
            raise IntakeError(f"{path}: {told}; {why or advice}")
        return (f"{path.name}: {told}; of the others cards, sign-up and verification are unknown",)


def _quoted(ids: Iterable[str]) -> str:
    return " and ".join(f"`{i}`" for i in ids)


def overlap(log_accounts: Collection[str], file_accounts: Collection[str]) -> Overlap:
    """Compare the accounts of a log with those of a file; ids as intake gives them, mail addresses keyed."""
    log, file = frozenset(log_accounts), frozenset(file_accounts)
    both = len(log & file)
    slip, mended = "", 0
    if both * 2 < len(log):
        for name, form in _SLIPS.items():
            forms = {form(a) for a in file}
            met = sum(form(a) in forms for a in log)
            if met > max(mended, both) and met * 2 >= len(log):
                slip, mended = name, met
    return Overlap(len(log), len(file), both, _two(log - file), _two(file - log), slip, mended)


def _two(ids: Iterable[str]) -> tuple[str, ...]:
    """Two of a set, from its ends in order, so that they are the same at every run."""
    ordered = sorted(ids)
    return tuple(dict.fromkeys(shortened(a) for a in (*ordered[:1], *ordered[-1:])))
