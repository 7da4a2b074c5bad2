"""Where Outrider is, with which key it is asked, and how patiently. From arguments, else from the environment.

| argument | variable | is |
|---|---|---|
| `url` | `OUTRIDER_URL` | such as https://mail.example.com:8025; a path before /v1 is kept |
| `api_key` | `OUTRIDER_API_KEY` | ACCESSKEY_ID.ACCESSKEY_SECRET, or with a colon, or an access token |
"""

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from outrider.client.errors import SetupError

URL_VARIABLE: Final = "OUTRIDER_URL"
KEY_VARIABLE: Final = "OUTRIDER_API_KEY"


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long one try may take, and how often and how long to try in all."""

    try_s: float = 30.0  # From the first octet sent to the last of the answer.
    connect_s: float = 5.0
    total_s: float = 120.0  # All tries of one call and the pauses between them.
    retries_max: int = 4
    pause_first_s: float = 0.5  # Doubled for each further try; a random half of it is left out.
    pause_max_s: float = 10.0
    silence_s: float = 60.0  # A stream without even a heartbeat for so long is taken for dead.

    def __post_init__(self) -> None:
        if self.retries_max < 0 or min(self.try_s, self.connect_s, self.total_s, self.silence_s) <= 0:
            raise SetupError("patience: times must be over 0, and retries_max 0 or more")


class Place(msgspec.Struct, frozen=True):
    """Where Outrider is."""

    is_tls: bool
    host: str
    port: int
    prefix: str  # Before each path, "/v1" at its end.

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a URL begins."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


def place(url: str | None, environment: Mapping[str, str]) -> Place:
    """Return where to call.

    Raises:
        SetupError: it is nowhere said, or is no address of a server.
    """
    given = environment.get(URL_VARIABLE, "") if url is None else url
    if not given:
        raise SetupError(f"where is Outrider? Give url=..., or set {URL_VARIABLE}, such as http://127.0.0.1:8025")
    try:
        parts = urlsplit(given)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SetupError("url is no URL; it is such as https://mail.example.com:8025") from None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]+", given):
        raise SetupError("url must begin with http:// or https:// and a host, in ASCII without spaces")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SetupError("url must have no user, no password, no ? and no #; the key is given as api_key")
    is_tls = parts.scheme == "https"
    prefix = parts.path.rstrip("/").removesuffix("/v1") + "/v1"
    return Place(is_tls, host, port or (443 if is_tls else 80), prefix)


def authorization(api_key: str | None, environment: Mapping[str, str]) -> str:
    """Return the Authorization header.

    Raises:
        SetupError: no key is given, or one with other than visible ASCII. The key is in no message.
    """
    given = (environment.get(KEY_VARIABLE, "") if api_key is None else api_key).strip()
    if not given:
        raise SetupError(f"no key: give api_key=..., or set {KEY_VARIABLE}, to ACCESSKEY_ID.ACCESSKEY_SECRET")
    if not re.fullmatch(r"[!-~]+", given):
        raise SetupError("the key has characters that no key has; was it pasted whole?")
    if ":" in given:
        return f"Basic {base64.b64encode(given.encode()).decode()}"
    return f"Bearer {given}"
