"""Counts of what the calls of a reading hold, and the sentences made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from stillwatch.records import Notice

#: Names of a gateway's settings, for the reader who wonders where the prompts are.
_SETTINGS = (
    "LiteLLM: store_prompts_in_spend_logs writes prompts into the spend log; turn_off_message_logging, and clients by the header "
    "x-litellm-enable-message-redaction, take them out of logs"
)


@dataclass(slots=True)
class Tally:
    """What the calls of a reading hold.

    ``without`` is the number of calls whose text is not known, by reason (``withheld.REASONS``); ``chains`` that of calls with a forwarding chain for an
    address; ``looked_up`` that of requests which ask the model nothing and are no calls.
    """

    calls: int = 0
    without: Counter[str] = field(default_factory=Counter)
    chains: int = 0
    looked_up: int = 0

    @property
    def with_text(self) -> int:
        """Calls whose text is known."""
        return self.calls - self.without.total()

    def count(self, missing: str | None, times: int = 1) -> None:
        """Count calls, and why their text is not known."""
        self.calls += times
        if missing is not None:
            self.without[missing] += times

    def notices(self, *, proxies_told: bool) -> list[str]:
        """Return a sentence for each count, that on missing prompts first."""
        first = few_prompts(self.calls, self.with_text, self.without)
        out = [str(first)] if first else [f"{reason}: {n:,} of {self.calls:,} calls" for reason, n in sorted(self.without.items())]
        if self.looked_up:
            out.append(f"{self.looked_up:,} requests only look up, list or delete what earlier calls made; they are not calls")
        if self.chains:
            rule = (
                "your trusted_proxies say which hop counts"
                if proxies_told
                else "the right-most that is not internal counts; trusted_proxies would tell"
            )
            out.append(f"{self.chains:,} calls have a chain of forwarded addresses, whose left part is the client's word: {rule}")
        return out


def few_prompts(calls: int, with_text: int, without: Mapping[str, int]) -> Notice | None:
    """Return what must be said first where fewer than half of the calls hold a prompt; None where it need not be said.

    ``without`` counts reasons; it may cover fewer calls than ``calls``.
    """
    if calls == 0 or 2 * with_text >= calls:
        return None
    why = "; ".join(f"{reason}: {n:,}" for reason, n in sorted(without.items(), key=lambda item: (-item[1], item[0])))
    some = "none" if with_text == 0 else f"only {with_text:,}"
    return Notice(
        "no-text",
        f"{some} of {calls:,} calls hold{'s' if with_text < 2 else ''} a prompt ({why or 'why was not kept'}): text families cannot be judged.  {_SETTINGS}.",
        share=1 - with_text / calls,
        of="calls",
        hides="A harvest is then seen only by address, agent, times, tokens, settings and tools.",
    )
