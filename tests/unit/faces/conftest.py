"""An API face on doubles: `face.app`, what its engine was handed, and requests as a client would make them."""

import base64
import io
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from outrider.base.errors import StoreUnavailableError
from outrider.engine import guard
from outrider.engine.explain import Explainer
from outrider.engine.guard import GuardView
from outrider.faces.api.app import make_app
from outrider.faces.api.ports import Managed, Ports
from outrider.net.hook import HookPoster
from outrider.obs.log import make_logger
from outrider.obs.metrics import Metrics
from outrider.obs.settings import LogSettings
from outrider.services.access import Access
from outrider.services.accounts import Accounts
from outrider.services.alerts import Alerts
from outrider.services.content import ContentChecks
from outrider.services.dkim_keys import KeyRing as DkimKeyRing
from outrider.services.event_log import EventLog, Streams
from outrider.services.identity import Identity
from outrider.services.log_search import EventSearch
from outrider.services.notices import Notices
from outrider.services.preferences import Preferences
from outrider.services.project_terms import ProjectTerms
from outrider.services.proofs import Proofs
from outrider.services.quotas import Quotas
from outrider.services.release import Releases
from outrider.services.reputation import Reputation
from outrider.services.retention import Retentions
from outrider.services.senders import Senders
from outrider.services.settings import ContentSettings, IdentitySettings
from outrider.services.stats import Stats
from outrider.services.suppressions import Suppressions
from outrider.services.templates.partials import Partials
from outrider.services.templates.templates import Templates
from outrider.services.templates.trial import Trial
from outrider.services.templates.versions import Compiler
from outrider.services.topics import Topics
from outrider.services.tracking_terms import TrackingTerms, tokens_of
from outrider.services.verification import Installation, Verification
from outrider.services.webhooks.endpoints import Webhooks
from outrider.store.pool import Store
from outrider.store.settings import StoreSettings
from outrider.store.vault import Vault
from outrider.testing.clock import RealClock
from outrider.testing.engine import (
    KeptReplays,
    KeyRing,
    PublishedTemplates,
    RecordingEngine,
    RecordingExaminer,
    ToldMail,
    ToldOutbox,
    ToldReports,
    ToldSenders,
    ToldTemplates,
    keep_content,
)
from outrider.testing.web import Heard, ask

PROJECT_ID = UUID(int=7)
KEY_ID = "0123456789abcdef0123456789abcdef"
KEY_SECRET = "NGY2YjY0ZWEtOWU1ZC00ZjJiLTg0YzYtMDFhN2M5ZDU1YjE5"
GOOD: Mapping[str, Any] = {
    "SendEmail": "noreply@shop.example",
    "TargetEmailAddress": ["user@partner.example"],
    "Subject": "Your Order Confirmation",
    "Content": "Thank you for your order. Your order ID is #12345.",
    "FromName": "Example Shop",
}


def basic(key_id: str = KEY_ID, secret: str = KEY_SECRET) -> str:
    return "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()


def assert_fault(heard: Heard, ret_code: int, message: str, status: int = 200) -> None:
    assert (heard.status, heard.json["RetCode"], heard.json["Message"]) == (status, ret_code, message)
    assert heard.json["Detail"]
    assert_envelope(heard)


def assert_envelope(heard: Heard) -> None:
    assert heard.headers["content-type"] == "application/json"
    assert str(UUID(heard.json["RequestUuid"])) == heard.json["RequestUuid"]
    assert heard.headers["x-speedo-request-uuid"] == heard.json["RequestUuid"]
    assert isinstance(heard.json["RetCode"], int)


class StillClock:
    """Shows one instant until the test sets another."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.at.timestamp()

    async def sleep(self, delay_s: float) -> None:
        raise AssertionError("nothing here sleeps")


def closed_services() -> Managed:
    """Return the services on a database that nobody has opened: whatever asks it is told that it is away."""
    store, vault, clock = Store("", StoreSettings()), Vault(bytes(32)), RealClock()
    log, bits = make_logger(LogSettings(format="json"), "web", io.StringIO()), random.SystemRandom().getrandbits
    on_store: dict[str, Any] = {"clock": clock, "random_bits": bits}
    keys = DkimKeyRing(store, vault, IdentitySettings(), **on_store)
    identity = Identity(store, keys, **on_store)
    senders = Senders(store, **on_store)

    async def no_mail(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("The database is not open.")

    def no_checker() -> Any:
        raise AssertionError("nobody asks DNS here")

    async def no_guards(_: UUID) -> Sequence[GuardView]:
        return await guard.views(store, clock=clock)

    contents = ContentChecks(store, ContentSettings(), None, clock=clock, metrics=Metrics(), logger=log)
    events = EventLog(store, clock=clock)
    compiler = Compiler(store)
    return Managed(
        access=Access(store, vault, rate_per_minute=0, **on_store, logger=log),
        accounts=Accounts(store, vault, **on_store),
        identity=identity,
        releases=Releases(store, no_mail, **on_store),
        keys=keys,
        senders=senders,
        proofs=Proofs(store, no_mail, **on_store, is_on=True, root="http://x.example"),
        suppressions=Suppressions(store, clock=clock),
        topics=Topics(store, clock=clock),
        preferences=Preferences(store, clock=clock),
        verification=Verification(store, keys, no_checker, IdentitySettings(), Installation(), **on_store, logger=log),
        notices=Notices(store, clock=clock),
        webhooks=Webhooks(store, vault, lambda: HookPoster(clock=clock), **on_store),
        tracking_terms=TrackingTerms(store, tokens_of(vault), clock=clock, links_root="http://x.example"),
        quotas=Quotas(store, clock=clock),
        project_terms=ProjectTerms(store, contents),
        contents=contents,
        candidate=no_mail,
        release=no_mail,
        templates=Templates(store, compiler, **on_store),
        partials=Partials(store, compiler, clock=clock),
        trial=Trial(store, compiler, no_mail),
        log=events,
        search=EventSearch(store, clock=clock),
        retentions=Retentions(store, days=90),
        streams=Streams(events, clock=clock, logger=log),
        stats=Stats(store, clock=clock),
        alerts=Alerts(store, **on_store),
        reputation=Reputation(store, clock=clock),
        explainer=Explainer(store, clock=clock),
        guards=no_guards,
        clock=clock,
    )


class ApiFace:
    def __init__(self) -> None:
        self.engine = RecordingEngine()
        self.keys = KeyRing({(KEY_ID, KEY_SECRET): PROJECT_ID})
        self.examiner = RecordingExaminer()
        self.published = PublishedTemplates()
        self.senders = ToldSenders()
        self.reports = ToldReports()
        self.mail = ToldMail()
        self.replays = KeptReplays()
        self.outbox = ToldOutbox(self.engine)
        self.templates = ToldTemplates()
        self.metrics = Metrics()
        self.log = io.StringIO()
        self.is_ready = True
        self.app = make_app(self.ports())

    def ports(self, **other: Any) -> Ports:
        async def is_ready() -> bool:
            return self.is_ready

        return Ports(
            **{
                "accept": self.engine,
                "authenticate": self.keys,
                "screen": self.keys.screen,
                "spend": self.keys.spend,
                "examine": self.examiner,
                "list_senders": self.senders,
                "report_session": self.reports,
                "resolve_files": keep_content,
                "first_answer": self.engine.first_answer,
                "find_template": self.published,
                "compile_inline": self.published.compile_inline,
                "replays": self.replays,
                "outbox": self.outbox,
                "templates": self.templates,
                "cancel": self.outbox.cancel,
                "mail": self.mail,
                "is_ready": is_ready,
                "new_request_id": uuid4,
                "log": make_logger(LogSettings(format="json"), "web", self.log),
                "metrics": self.metrics,
                "managed": closed_services(),
                **other,
            }
        )

    async def send_email(self, body: object = GOOD, headers: Mapping[str, str] | None = None) -> Heard:
        given = {"authorization": basic(), "content-type": "application/json"} | dict(headers or {})
        octets: bytes | Sequence[bytes] = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await ask(self.app, "POST", "/api/v1/email/SendEmail", headers=given, body=octets)

    async def act(self, body: object, query: str = "", headers: Mapping[str, str] | None = None) -> Heard:
        """Call the Action API; `headers` None: with the good key."""
        given = {"authorization": basic()} if headers is None else headers
        octets: bytes | Sequence[bytes] = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await ask(self.app, "POST", f"/api{query}", headers=given, body=octets)

    async def rest(
        self, method: str, target: str, body: object = b"", headers: Mapping[str, str] | None = None
    ) -> Heard:
        """Make a call below /api/v1/email/; `headers` None: with the good key."""
        given = {"authorization": basic()} if headers is None else headers
        octets: bytes | Sequence[bytes] = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await ask(self.app, method, f"/api/v1/email/{target}", headers=given, body=octets)

    async def send_status(self, query: str, headers: Mapping[str, str] | None = None) -> Heard:
        given = {"authorization": basic()} if headers is None else headers
        return await ask(self.app, "GET", f"/api/v1/email/SendStatus{query}", headers=given)

    async def call(
        self, method: str, target: str, body: object = b"", headers: Mapping[str, str] | None = None
    ) -> Heard:
        """Call something under /v1; a body that is not bytes goes as JSON."""
        given = {"authorization": f"Bearer {KEY_ID}.{KEY_SECRET}"} | dict(headers or {})
        octets = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await ask(self.app, method, f"/v1{target}", headers=given, body=octets)


@pytest.fixture
def face() -> ApiFace:
    return ApiFace()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()
