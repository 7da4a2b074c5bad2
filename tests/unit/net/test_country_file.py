"""Where an address is: a real file, written here; read again when it changes, kept when the new one is broken."""

from pathlib import Path

import pytest

from outrider.net.country_file import CountryFile
from outrider.testing.countries import written
from outrider.testing.engineroom import Journal

PLACES = {"192.0.2.0/24": "DE", "198.51.100.128/25": "fr", "2001:db8::/32": "JP"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "where.mmdb").write_bytes(written(PLACES))
    return tmp_path / "where.mmdb"


def read(path: Path, journal: Journal | None = None) -> CountryFile:
    made = CountryFile(path, log=(journal or Journal()).logger)
    made.refresh()
    return made


@pytest.mark.parametrize(
    ("ip", "country"),
    [
        ("192.0.2.7", "DE"),
        ("192.0.3.7", ""),
        ("198.51.100.200", "FR"),
        ("198.51.100.1", ""),
        ("2001:db8::5", "JP"),
        ("2001:db9::5", ""),
        ("::ffff:192.0.2.7", ""),
        ("", ""),
        ("nobody", ""),
    ],
)
def test_an_address_is_where_the_file_says(path: Path, ip: str, country: str) -> None:
    assert read(path).of(ip) == country


@pytest.mark.parametrize(
    ("record", "country"),
    [
        ({"country": "DE", "asn": "AS64500"}, "DE"),
        ({"country_code": "DE", "continent": "Europe"}, "DE"),
        ({"registered_country": {"iso_code": "DE"}}, "DE"),
        ({"country": {"names": {"en": "Germany"}}}, ""),
        ({"country": "Germany", "country_code": "DE"}, "DE"),
        ("Germany", ""),
    ],
)
def test_other_vendors_say_it_elsewhere(path: Path, record: object, country: str) -> None:
    path.write_bytes(written({"192.0.2.0/24": [record] if isinstance(record, str) else record}))
    assert read(path).of("192.0.2.7") == country


def test_without_a_file_nobody_knows_until_there_is_one(path: Path) -> None:
    journal, later = Journal(), path.with_name("later.mmdb")
    made = CountryFile(later, log=journal.logger)
    assert made.of("192.0.2.7") == ""
    made.refresh()
    made.refresh()
    path.rename(later)
    made.refresh()
    assert made.of("192.0.2.7") == "DE"
    assert journal.count("country_file_read") == 1


def test_a_new_file_counts_and_a_broken_one_does_not(path: Path) -> None:
    journal = Journal()
    made = read(path, journal)
    path.write_bytes(b"nothing of the kind")  # In place: what is mapped must not be this file.
    made.refresh()
    made.refresh()
    assert made.of("192.0.2.7") == "DE"
    assert journal.count("country_file_not_read") == 1
    path.write_bytes(written({"192.0.2.0/24": "AT"}))
    made.refresh()
    assert made.of("192.0.2.7") == "AT"
