"""Fault: mail from a template is accepted, every process is killed, and the template is changed and deleted meanwhile.

What was accepted goes out as it was: each recipient's mail is made of the template as it was then and of its own
variables. The mail waits for its instant (`send_at`), so that none of it was under way before.
"""

import email
import email.policy
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from outrider.testing.api import Api
from outrider.testing.postgres import make_folder
from outrider.testing.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LATER = timedelta(seconds=8)
TO = ("ann@a.example", "bob@b.example")


@pytest.fixture
def folder() -> Iterator[Path]:
    path = make_folder()
    yield path
    shutil.rmtree(path)


def caught_by(program: Program) -> dict[str, EmailMessage]:
    found = {}
    for path in program.data_dir.glob("mailbox/new/*"):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found[str(message["To"])] = message
    return found


async def test_what_was_accepted_goes_out_as_it_was(folder: Path) -> None:
    async with Program(folder / "node") as program:
        key = await program.start()
        api = Api(program, key)
        source = {"name": "Code", "subject": "Hi {{ name }}", "body": "<p>{{ code }}</p>", "publish": True}
        made = await api.post("/templates", source)
        accepted = await api.post(
            "/emails",
            {
                "from": program.sender,
                "to": list(TO),
                "template": "Code",
                "recipient_variables": {to: {"name": to[:3], "code": f"<{n}>"} for n, to in enumerate(TO)},
                "send_at": (datetime.now(UTC) + LATER).isoformat(),
            },
        )
        assert accepted["accepted_count"] == 2
        await api.patch(f"/templates/{made['id']}", {"subject": "Other", "body": "<p>other</p>"})
        await api.post(f"/templates/{made['id']}/publish", {})
        await api.delete(f"/templates/{made['id']}")
        assert caught_by(program) == {}
        await program.kill_all()
        await program.serve()
        await program.ready()

        async def both() -> dict[str, EmailMessage] | None:
            found = caught_by(program)
            return found if len(found) == len(TO) else None

        found: Any = await program.until(both)
        for n, to in enumerate(TO):
            assert found[to]["Subject"] == f"Hi {to[:3]}"
            assert f"<p>&lt;{n}&gt;</p>" in found[to].get_body(("html",)).get_content()
        shown = await api.get(f"/emails/{accepted['id']}/content?recipient={TO[1]}")
        assert (shown["subject"], shown["template"], shown["is_template"]) == ("Hi bob", made["id"], False)
