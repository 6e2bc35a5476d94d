"""Provider logs -> calls.  Identity becomes a keyed reference here, and the model's reply is left behind."""

from stillwatch.watch.intake.accounts import AccountsReport, Clear, clear_values, read_accounts
from stillwatch.watch.intake.columns import mapping
from stillwatch.watch.intake.errors import IntakeError
from stillwatch.watch.intake.identity import Identity, canonical, load_or_create_key, mail_shape
from stillwatch.watch.intake.overlap import Overlap, overlap
from stillwatch.watch.intake.quarantine import Quarantine
from stillwatch.watch.intake.reading import FileReport, Reader, expand, read_calls
from stillwatch.watch.intake.tally import Tally, few_prompts

__all__ = [
    "AccountsReport",
    "Clear",
    "FileReport",
    "Identity",
    "IntakeError",
    "Overlap",
    "Quarantine",
    "Reader",
    "Tally",
    "canonical",
    "clear_values",
    "expand",
    "few_prompts",
    "load_or_create_key",
    "mail_shape",
    "mapping",
    "overlap",
    "read_accounts",
    "read_calls",
]
