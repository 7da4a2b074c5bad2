"""Subjects and texts in many languages are told apart, and those of people are not taken for them."""

import pytest

from outrider.mail import phrases


@pytest.mark.parametrize(
    "subject",
    [
        "Undelivered Mail Returned to Sender", "failure notice", "Returned mail: see transcript for details",
        "Delivery Status Notification (Failure)", "Undeliverable: Hello", "Unzustellbar: Hallo", "Non remis : Bonjour",
        "No se puede entregar: Hola", "Não é possível entregar: Oi", "Messaggio non recapitabile: Ciao",
        "Onbestelbaar: Hoi", "Kan inte levereras: Hej", "Nie można dostarczyć: Cześć", "Недоставлено: Привет",
        "配信不能: こんにちは", "系统退信", "無法傳遞郵件", "반송: 안녕",
    ],
)  # fmt: skip
def test_subjects_of_bounces(subject: str) -> None:
    assert phrases.is_bounce_subject(subject)
    assert not phrases.is_bounce_subject(f"Re: {subject}")
    assert not phrases.is_unsubscribe(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "Out of Office: Hello", "Automatic reply: Hello", "Auto: Hello", "Abwesenheitsnotiz", "Ich bin im Urlaub",
        "Réponse automatique : Bonjour", "Absence du bureau", "Respuesta automática: Hola", "Fuera de la oficina",
        "Resposta automática", "Risposta automatica: Ciao", "Fuori sede", "Automatisch antwoord", "Afwezig",
        "Autosvar: Hej", "Frånvaro", "Automatisk svar", "Automaattinen vastaus", "Odpowiedź automatyczna",
        "Automatická odpověď", "Автоматический ответ", "Я в отпуске: отпуск", "Otomatik yanıt", "自動返信", "不在通知",
        "自动回复", "자동 회신",
    ],
)  # fmt: skip
def test_subjects_of_the_absent(subject: str) -> None:
    assert phrases.is_away_subject(subject)
    assert not phrases.is_bounce_subject(subject)


@pytest.mark.parametrize(
    "text", ["Hello", "Your order", "Question about delivery times", "Re: invoice", "", "注文", "Frage"]
)
def test_people_are_people(text: str) -> None:
    assert not phrases.is_bounce_subject(text)
    assert not phrases.is_away_subject(text)
    assert not phrases.is_challenge(text)
    assert not phrases.is_unsubscribe(text)


@pytest.mark.parametrize(
    ("subject", "text", "is_delay"),
    [
        ("Warning: could not send message for past 4 hours", "", True),
        ("Delivery Status Notification (Delay)", "", True),
        ("Undeliverable mail", "We will keep trying.", True),
        ("Undeliverable mail", "This is a permanent error. We will keep trying others.", False),
        ("failure notice", "I'm not going to try again.", False),
        ("Undeliverable", "", False),
    ],
)
def test_delays(subject: str, text: str, is_delay: bool) -> None:
    assert phrases.is_delay(subject, text) == is_delay


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("unsubscribe", True), ("Unsubscribe me", True), ("Re: unsubscribe", True), ("please unsubscribe", True),
        ("STOP", True), ("Abmeldung", True), ("baja", True), ("退订", True), ("配信停止", True), ("отписаться", True),
        ("please unsubscribe me from this list, thanks", True), ("unsubscribe:a1-b2", True),
        ("Stop missing out", False),
        ("Remove stains at once", False),
        ("How do I unsubscribe?", False), ("stopwatch", False), ("bajada", False), ("", False),
    ],
)  # fmt: skip
def test_requests_to_end(text: str, is_one: bool) -> None:
    assert phrases.is_unsubscribe(text) == is_one


def test_reasons_daemons_and_challenges() -> None:
    assert phrases.says_why("The mailbox is full")
    assert phrases.says_why("この宛先は存在しません")
    assert not phrases.says_why("Hello Joe")
    assert phrases.is_daemon("Mail Delivery System <MAILER-DAEMON@x.example>")
    assert not phrases.is_daemon("Joe <joe@x.example>")
    assert phrases.is_challenge("Please confirm that you sent this")
    assert not phrases.is_challenge("Please confirm your email address")  # Our customers' mail says so.
    assert phrases.is_challenger("bounce@spamarrest.example")
    assert phrases.is_reply("Re: Hello")
    assert not phrases.is_reply("Return")
    assert phrases.is_bounce_body("Hi. This is the qmail-send program")
