"""Text that others wrote: ids from logs, words of partners, names of files."""

from __future__ import annotations

import unicodedata
from typing import Final

#: Control and format characters, lone surrogates, line and paragraph separators: what moves a cursor, sets a title or turns the reading direction.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def shown(text: object) -> str:
    """``text`` with every character that a terminal would act on, but newline and tab, as a visible escape such as ``\\x1b``."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else c.encode("unicode_escape").decode() for c in str(text))
