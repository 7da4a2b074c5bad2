"""Fields that say how a mail is to be sent: ours, and what others call theirs."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from outrider.base.errors import CallerError
from outrider.base.vocab import Stream
from outrider.mail import controls
from outrider.mail.controls import Controls

AT = datetime(2026, 12, 24, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "field", "read"),
    [
        ("x-outrider-stream", "Marketing", "stream", Stream.MARKETING),
        ("x-outrider-tag", "one, two", "tags", ["one, two"]),
        ("x-outrider-tag", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "tags", ["Grüße"]),
        ("x-outrider-tags", "one, two ,", "tags", ["one", "two"]),
        ("x-outrider-metadata", '{"a": 1042, "b": true, "x": "y"}', "metadata", {"a": "1042", "b": "true", "x": "y"}),
        ("x-outrider-track-opens", "yes", "track_opens", True),
        ("x-outrider-track-clicks", "off", "track_clicks", False),
        ("x-outrider-template", "welcome", "template", "welcome"),
        ("x-outrider-variables", '{"a": [1]}', "variables", {"a": [1]}),
        ("x-outrider-locale", "de-AT", "locale", "de-AT"),
        ("x-outrider-send-at", "2026-12-24T08:00:00Z", "send_at", AT),
        ("x-outrider-send-at", "2026-12-24T09:00:00+01:00", "send_at", AT),
        ("x-outrider-send-at", "1798099200", "send_at", AT),
        ("x-mailgun-deliver-by", "Thu, 24 Dec 2026 08:00:00 +0000", "send_at", AT),
        ("x-mailgun-deliver-by", "Thu, 24 Dec 2026 08:00:00 -0000", "send_at", AT),
        ("x-outrider-expires", "90", "expires_s", 90.0),
        ("x-outrider-expires", "12h", "expires_s", 43200.0),
        ("x-outrider-pool", "bulk", "pool", "bulk"),
        ("x-outrider-campaign", "winter", "campaign", "winter"),
        ("x-outrider-list", "news", "list_name", "news"),
        ("x-outrider-idempotency-key", "k1", "idempotency_key", "k1"),
        ("x-ses-configuration-set", "main", "tags", ["configuration-set:main"]),
        ("x-ses-message-tags", "a=b, c=d=e", "metadata", {"a": "b", "c": "d=e"}),
        ("x-pm-tag", "t", "tags", ["t"]),
        ("x-pm-message-stream", "broadcast", "stream", Stream.MARKETING),
        ("x-pm-message-stream", "outbound", "stream", Stream.TRANSACTIONAL),
        ("x-pm-metadata-color", "blue", "metadata", {"color": "blue"}),
        ("x-pm-trackopens", "true", "track_opens", True),
        ("x-pm-tracklinks", "HtmlOnly", "track_clicks", True),
        ("x-pm-tracklinks", "None", "track_clicks", False),
        ("x-mailgun-tag", "t", "tags", ["t"]),
        ("x-mailgun-variables", '{"a": "b"}', "metadata", {"a": "b"}),
        ("x-mailgun-track-clicks", "htmlonly", "track_clicks", True),
        ("x-smtpapi", '{"category": "c"}', "tags", ["c"]),
        ("x-smtpapi", '{"category": ["c", "d"], "filters": {}}', "tags", ["c", "d"]),
        ("x-smtpapi", '{"unique_args": {"a": 1}}', "metadata", {"a": "1"}),
        ("x-smtpapi", '{"category": null, "unique_args": null, "filters": [], "send_each_at": []}', "tags", []),
        ("x-smtpapi", '{"filters": {"opentrack": {"settings": {"enable": 0}}}}', "track_opens", False),
        ("x-smtpapi", '{"filters": {"opentrack": {"settings": {"enable": "1"}}}}', "track_opens", True),
        ("x-smtpapi", '{"filters": {"clicktrack": {"settings": {"enable": false}}}}', "track_clicks", False),
        ("x-smtpapi", '{"filters": {"clicktrack": {"settings": {}}, "opentrack": []}}', "track_clicks", None),
        ("x-smtpapi", '{"filters": {"templates": {"settings": {"enable": 0}}}}', "template", ""),
        ("x-smtpapi", '{"send_at": 1798099200}', "send_at", AT),
    ],
)  # fmt: skip
def test_what_is_read(name: str, value: str, field: str, read: object) -> None:
    expected: dict[str, Any] = msgspec.structs.asdict(Controls()) | {field: read}
    assert msgspec.structs.asdict(controls.read([(name, value)])) == expected


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("x-outrider-strem", "marketing", "X-Outrider-Strem"),
        ("x-outrider-stream", "spam", "X-Outrider-Stream"),
        ("x-outrider-metadata", "{", "X-Outrider-Metadata"),
        ("x-outrider-metadata", "[]", "X-Outrider-Metadata"),
        ("x-outrider-metadata", '{"a": {}}', "X-Outrider-Metadata"),
        ("x-outrider-track-opens", "perhaps", "X-Outrider-Track-Opens"),
        ("x-outrider-send-at", "tomorrow", "X-Outrider-Send-At"),
        ("x-outrider-send-at", "2026-12-24T08:00:00", "X-Outrider-Send-At"),
        ("x-outrider-send-at", "Thu, 24 Dec 2026 08:00:00", "X-Outrider-Send-At"),
        ("x-outrider-send-at", "Thu, 24 Dec 99999999999999999999 08:00:00 +0000", "X-Outrider-Send-At"),
        ("x-outrider-send-at", "9999-12-31T23:59:59-12:00", "X-Outrider-Send-At"),
        ("x-outrider-expires", "soon", "X-Outrider-Expires"),
        ("x-mailgun-drop-message", "yes", "X-Mailgun-Drop-Message"),
        ("x-smtpapi", '{"to": ["a@b.example"]}', "X-SMTPAPI"),
        ("x-smtpapi", '{"category": [1]}', "X-SMTPAPI"),
        ("x-smtpapi", '{"category": 5}', "X-SMTPAPI"),
        ("x-smtpapi", '{"category": {"a": 1}}', "X-SMTPAPI"),
        ("x-smtpapi", '{"unique_args": []}', "X-SMTPAPI"),
        ("x-smtpapi", '{"send_each_at": [1798099200]}', "X-SMTPAPI"),
        ("x-smtpapi", '{"filters": {"templates": {"settings": {"enable": 1, "template_id": "t"}}}}', "X-SMTPAPI"),
        ("x-smtpapi", '{"filters": {"opentrack": {"settings": {"enable": 2}}}}', "X-SMTPAPI"),
        ("x-smtpapi", '{"filters": {"opentrack": {"settings": {"enable": [0]}}}}', "X-SMTPAPI"),
        ("x-smtpapi", '{"filters": {"opentrack": "off"}}', "X-SMTPAPI"),
        ("x-smtpapi", '{"filters": "off"}', "X-SMTPAPI"),
        ("x-mailgun-template-name", "welcome", "X-Mailgun-Template-Name"),
        ("x-mailgun-template-variables", "{}", "X-Mailgun-Template-Variables"),
        ("x-mailgun-track", "perhaps", "X-Mailgun-Track"),
        ("x-smtpapi", "nonsense", "X-SMTPAPI"),
        ("x-ses-message-tags", "=x", "X-Ses-Message-Tags"),
    ],
)
def test_what_is_refused_names_the_field(name: str, value: str, shown: str) -> None:
    with pytest.raises(CallerError) as caught:
        controls.read([(name, value)])
    assert caught.value.field == shown


def test_what_others_do_alone_is_passed_over() -> None:
    assert controls.read([("x-mailgun-dkim", "yes"), ("x-ses-source-arn", "x"), ("x-pm-foo", "")]) == Controls()


@pytest.mark.parametrize(
    ("fields", "opens", "clicks"),
    [
        ([("x-mailgun-track", "no")], False, False),
        ([("x-mailgun-track", "yes")], True, True),
        ([("x-mailgun-track", "htmlonly")], True, True),
        ([("x-mailgun-track-clicks", "no"), ("x-mailgun-track", "yes")], True, False),
        ([("x-mailgun-track", "no"), ("x-mailgun-track-opens", "yes")], True, False),
    ],
)
def test_a_switch_for_both_never_overrules_one_of_its_own(
    fields: list[tuple[str, str]], *, opens: bool, clicks: bool
) -> None:
    found = controls.read(fields)
    assert (found.track_opens, found.track_clicks) == (opens, clicks)


def test_tags_and_metadata_add_up_and_two_readings_share_nothing() -> None:
    found = controls.read(
        [("x-outrider-tag", "a"), ("x-pm-tag", "b"), ("x-pm-metadata-x", "1"), ("x-pm-metadata-y", "2")]
    )
    assert (found.tags, found.metadata) == (["a", "b"], {"x": "1", "y": "2"})
    assert controls.read([]) == Controls(tags=[], metadata={})
