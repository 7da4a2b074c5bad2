"""A page behind a link, opened as a browser does, and what is logged about it."""

import io
from collections.abc import Callable, Sequence
from typing import Any

from outrider.faces.api.app import make_app
from outrider.obs.log import Logger, make_logger
from outrider.obs.settings import LogSettings
from outrider.testing.web import Heard, ask
from tests.unit.faces.conftest import ApiFace


class PageDoor:
    """The pages at `path`; `routes` makes them, given where to log."""

    def __init__(self, path: str, token: str, routes: Callable[[Logger], Sequence[Any]]) -> None:
        self.face, self.log = ApiFace(), io.StringIO()
        self._path, self._token = path, token
        log = make_logger(LogSettings(format="json"), "web", self.log)
        self._app = make_app(self.face.ports(), routes(log))

    async def open(
        self,
        method: str = "GET",
        token: str | None = None,
        *,
        peer: str | None = "192.0.2.7",
        body: Any = b"",
        **headers: str,
    ) -> Heard:
        """Open the link, with the right token unless another is given."""
        shown = self._token if token is None else token
        return await ask(self._app, method, f"{self._path}?token={shown}", peer=peer, body=body, headers=headers)
