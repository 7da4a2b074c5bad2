"""Every setting is in docs/reference/settings.md with its default, its bounds and a sentence."""

import importlib

import msgspec

from tests.docs.pages import assert_fresh, generator, refuse


def test_the_settings_page_is_what_the_code_says() -> None:
    assert_fresh("settings.md")


def test_every_settings_record_has_its_table() -> None:
    refuse(generator().homeless_settings())


def test_every_setting_says_what_it_does() -> None:
    generate = generator()
    config = importlib.import_module("outrider.config").Config
    refuse(
        f"{record.__name__}.{name}"
        for record in (config, *generate.settings_records())
        for name, text in generate.field_words(record).items()
        if len(text.split()) < 3 and not is_table(record, name)
    )


def is_table(record: type, name: str) -> bool:
    (kind,) = [field.type for field in msgspec.structs.fields(record) if field.name == name]
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def test_the_words_below_a_field_are_found() -> None:
    words = generator().field_words(Sample)
    assert words == {"wait_s": "How long. Two lines.", "size_bytes": "How much.", "name": ""}


class Sample(msgspec.Struct):
    """A record to read."""

    wait_s: float = 1.0
    """How long.
    Two lines."""

    size_bytes: int = 1  # How much.
    name: str = ""
