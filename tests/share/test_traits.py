"""What of the sign-up records is blinded for matching is read by the same reader as everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.share.desk.desk import DeskError
from stillwatch.share.desk.traits import payment_traits, traits_of
from stillwatch.watch.intake import Identity, IntakeError, load_or_create_key

ROWS = [
    ("u-1", "a@Ring.example", "CARD-1"),
    ("u-2", "b@ring.example", "card-2"),
    ("u-3", "c@alone.example", "card-1 "),
    ("x-9", "d@ring.example", "other"),
]
NAMES = ["u-1", "u-2", "u-3"]
WANTED = {"payment": ["card-1", "card-2"], "registration": ["domain ring.example"]}


def written(path: Path, header: str, cut: str = ",", mails: bool = False) -> Path:
    lines = [cut.join((mail if mails else account, mail, card)) for account, mail, card in ROWS]
    path.write_text("\n".join([header.replace(",", cut), *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "cut"),
    [
        ("account,email,payment_fingerprint", ","),
        ("account,email,payment_fingerprint", ";"),
        ("Account, E-Mail ,Payment Fingerprint", "\t"),
    ],
)
def test_any_file_that_detect_reads_gives_the_same_traits(tmp_path: Path, header: str, cut: str) -> None:
    assert traits_of(written(tmp_path / "a.csv", header, cut), NAMES, tmp_path / "no.key")[0] == WANTED


def test_other_column_names_are_given_or_suggested(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "account,user_email,card_fingerprint")
    mapped = {"email": "user_email", "payment_fingerprint": "card_fingerprint"}
    assert traits_of(path, NAMES, tmp_path / "no.key", mapped)[0] == WANTED
    with pytest.raises(DeskError, match=r"nothing to send.*card_fingerprint looks like payment_fingerprint"):
        traits_of(path, NAMES, tmp_path / "no.key")


def test_accounts_that_are_mail_addresses_are_found_with_the_runs_key(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "account,email,payment_fingerprint", mails=True)
    identity = Identity(load_or_create_key(tmp_path / "identity.key"))
    names = [str(identity.account(mail.lower())) for _, mail, _ in ROWS[:3]]
    assert traits_of(path, names, tmp_path / "identity.key")[0] == WANTED
    with pytest.raises(DeskError, match="name with --key"):
        traits_of(path, names, tmp_path / "no.key")
    assert not (tmp_path / "no.key").exists()


def test_nothing_to_send_is_never_silent(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "account,email,payment_fingerprint")
    with pytest.raises(IntakeError, match="0 of 1 accounts of the campaign are in the file"):
        traits_of(path, ["u-7"], tmp_path / "no.key")
    _, notices = traits_of(path, [*NAMES, *(f"u-{i}" for i in range(10, 20))], tmp_path / "no.key")
    assert any("3 of 13 accounts of the campaign" in n for n in notices)
    path.write_text("account,email,payment_fingerprint\nu-1,N/A,-\nu-2,null,-\n")
    with pytest.raises(DeskError, match="2 of the campaign's 3 accounts are there, none with a card"):
        traits_of(path, NAMES, tmp_path / "no.key")


def test_a_payment_account_reference_is_a_trait_beside_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("account,payment_fingerprint,payment_par\nu-1,FP,V0010013018046125\nu-2,,v0010013018046125\n")
    values, _ = traits_of(tmp_path / "a.csv", NAMES, tmp_path / "no.key")
    assert values["payment"] == ["fp", "par v0010013018046125"] == sorted(payment_traits("FP", "V0010013018046125"))
    assert payment_traits(None, None) == frozenset()
