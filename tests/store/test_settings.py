"""The knobs of the database: safe as they come, bounded, and nothing misspelt passes."""

import msgspec
import pytest

from outrider.store.settings import EmbeddedSettings, StoreSettings


@pytest.mark.parametrize("section", [StoreSettings, EmbeddedSettings])
def test_the_defaults_are_within_their_own_bounds(section: type[msgspec.Struct]) -> None:
    assert msgspec.convert(msgspec.to_builtins(section()), section) == section()


@pytest.mark.parametrize(
    ("section", "given"),
    [
        (StoreSettings, {"pool_size": 0}),
        (StoreSettings, {"pool_size": 51}),
        (StoreSettings, {"statement_timeout_s": 0}),
        (StoreSettings, {"pool_sise": 4}),
        (EmbeddedSettings, {"shared_buffers_mb": 15}),
        (EmbeddedSettings, {"max_connections": 9}),
        (EmbeddedSettings, {"stop_wait_s": -1}),
        (EmbeddedSettings, {"fsync": False}),
    ],
)
def test_what_is_out_of_bounds_or_unknown_is_refused(section: type[msgspec.Struct], given: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, section)
