"""Stillwatch: find, prove and stop adversarial distillation of language models.

``detect`` reads a provider's logs and gives a ``Result``; ``explain`` says why something is a campaign.  What they need is imported when they are first used.
"""

from typing import TYPE_CHECKING

from stillwatch.version import __version__

__all__ = ["Result", "Settings", "__version__", "detect", "explain"]

if TYPE_CHECKING:
    from stillwatch.face import Result, Settings, detect, explain


def __getattr__(name: str) -> object:
    if name in __all__:
        from stillwatch import face  # noqa: PLC0415 - brings the engine along

        return getattr(face, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
