"""Provider logs -> calls.  Identity becomes a keyed reference here, and the model's reply is left behind."""

from stillwatch.watch.intake.accounts import read_accounts
from stillwatch.watch.intake.errors import IntakeError
from stillwatch.watch.intake.identity import Identity, canonical, load_or_create_key, mail_shape
from stillwatch.watch.intake.quarantine import Quarantine
from stillwatch.watch.intake.reading import FileReport, Reader, expand, read_calls
from stillwatch.watch.intake.tally import Tally, few_prompts

__all__ = [
    "FileReport",
    "Identity",
    "IntakeError",
    "Quarantine",
    "Reader",
    "Tally",
    "canonical",
    "expand",
    "few_prompts",
    "load_or_create_key",
    "mail_shape",
    "read_accounts",
    "read_calls",
]
