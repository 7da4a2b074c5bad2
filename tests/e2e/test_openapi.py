"""The OpenAPI document against the running program: schemathesis makes calls from it and finds nothing wrong.

Every call of the document, with good and with bad values, as one project with some mail: no 5xx, no answer that the
document does not describe, no bad value that is taken.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from outrider.testing.program import Key, Program

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EXAMPLES_COUNT = 12  # Of each call and phase.
LIFETIME_S = 200.0
# Every check but one: a good body may yet be refused, for its sender is not the project's, or its address no address.
# A mail of a batch that is malformed is refused for itself: the call is a 200.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
[[operations]]
include-name = "POST /v1/emails/batch"
[operations.checks]
negative_data_rejection.enabled = false
"""


@pytest.mark.timeout(250)
async def test_no_call_made_from_the_document_breaks_it(caught: Program, folder: Path) -> None:
    # A project of its own: some of the calls change keys, this one too.
    await caught.command_json("domain", "add", "document.example", "--verified", "--project", "document")
    key = msgspec.convert(await caught.command_json("key", "create", "--project", "document"), Key)
    base = f"http://127.0.0.1:{caught.ports['HTTP']}"
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG)
    child = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(config)),
        *("run", f"{base}/v1/openapi.json", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--header", f"Authorization: Bearer {key.access_key_id}.{key.access_key_secret}"),
        *("--exclude-path", "/v1/events/stream"),  # It does not end: tests/e2e/test_events_api.py.
        # With these it would take its own key away and hear 401 from then on: tests/e2e/test_keys_api.py.
        *("--exclude-name", "DELETE /v1/keys/{id}", "--exclude-name", "PATCH /v1/keys/{id}"),
        *("--max-examples", str(EXAMPLES_COUNT), "--seed", "6", "--request-timeout", "10", "--no-color"),
        *("--generation-database", "none", "--continue-on-failure"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIFETIME_S):
            stdout, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, f"{stdout.decode()[-6000:]}\n{caught.log_tail()}"
