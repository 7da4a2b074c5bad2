"""The knobs of this floor."""

from typing import Literal

import msgspec


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [log] table."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is worth a line. `debug` writes several lines per mail."""

    format: Literal["auto", "json", "console"] = "auto"
    """`console` is for people, `json` for machines; `auto` asks whether stderr is a terminal."""
