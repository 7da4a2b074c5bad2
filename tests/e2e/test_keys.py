"""Keys by commands: rotated, brought, taken away, delegated; and the master keys under a server that goes on."""

from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from outrider.services.tracking_terms import tokens_of
from outrider.store import master_key
from outrider.store.vault import vault_of
from outrider.testing.program import Program
from tests.unit.mail.keys import pem_of, rsa_key

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

EXIT_DATA, EXIT_CONFIG = 65, 78
MINE = ("--project", "keyed")


@pytest_asyncio.fixture(loop_scope="session")
async def keyed(caught: Program) -> Program:
    """Give a program with a project that has a verified domain, keyed.example."""
    await caught.command_json("domain", "add", "keyed.example", "--verified", "--algorithm", "ed25519-sha256", *MINE)
    return caught


async def states(program: Program) -> dict[str, str]:
    found = await program.command_json("domain", "keys", "keyed.example", *MINE)
    return {entry["selector"]: entry["state"] for entry in found}


def tracked_link(program: Program) -> str:
    """Return a link of nobody's mail, by the key that seals now."""
    tokens = tokens_of(vault_of(master_key.find("", program.data_dir, {})))
    return "/t/" + tokens.link(UUID(int=404), 1, "https://shop.example/", host="")


async def test_a_key_is_rotated_brought_and_taken_away(keyed: Program, folder: Path) -> None:
    (first,) = await states(keyed)
    (new,) = await keyed.command_json("domain", "rotate", "keyed.example", *MINE)
    assert (new["state"], new["host"]) == ("waiting", f"{new['selector']}._domainkey.keyed.example")
    listed = await keyed.command("domain", "keys", "keyed.example", *MINE)
    assert "publish" in listed.stdout
    assert await states(keyed) == {first: "signing", new["selector"]: "waiting"}
    (again,) = await keyed.command_json("domain", "rotate", "keyed.example", "--published", *MINE)
    assert (again["selector"], again["state"]) == (new["selector"], "signing")

    (folder / "own.pem").write_bytes(pem_of(rsa_key().private_key))  # type: ignore[arg-type]
    brought = await keyed.command("domain", "bring", "keyed.example", "mine", str(folder / "own.pem"), *MINE)
    assert brought.code == 0
    assert "1024 bits is weak" in brought.stderr
    assert "mine._domainkey.keyed.example" in brought.stdout
    assert (await keyed.command("domain", "drop", "keyed.example", "mine", *MINE)).code == 0
    assert await states(keyed) == {first: "retiring", new["selector"]: "signing"}

    for arguments, word in (
        (("drop", "keyed.example", new["selector"]), "last key"),
        (("drop", "keyed.example", "none"), "no key with that selector"),
        (("bring", "keyed.example", "mine", str(folder / "none.pem")), "cannot be read"),
        (("bring", "keyed.example", "mine", "/dev/null"), "private key"),
        (("selectors", "keyed.example", "a.b"), "selector"),
        (("delegate", "keyed.example"), "dkim_zone"),
        (("rotate", "none.example"), "no domain"),
    ):
        failed = await keyed.command("domain", *arguments, *MINE)
        assert (failed.code, word in failed.stderr) == (EXIT_DATA, True), failed
    assert (await keyed.command("domain", "zone")).code == EXIT_DATA


async def test_keys_are_delegated_to_the_operator_s_zone(folder: Path) -> None:
    env = {"OUTRIDER_IDENTITY__DKIM_ZONE": "dkim.op.example"}
    async with Program(folder / "node", env=env) as program:
        await program.command_json("domain", "add", "keyed.example", "--verified", *MINE)
        made = await program.command_json("domain", "delegate", "keyed.example", *MINE)
        assert sorted(entry["selector"] for entry in made) == ["oe1", "oe2", "or1", "or2"]
        zone = await program.command("domain", "zone")
        origin, ttl, *lines = zone.stdout.splitlines()
        assert (origin, ttl) == ("$ORIGIN dkim.op.example.", "$TTL 300")
        by_name = {entry["target"].removesuffix(".dkim.op.example"): entry["record"] for entry in made}
        assert len(lines) == 2
        for line in lines:
            name, kind, *strings = line.removesuffix(" ; keyed.example").split(" ", 2)
            assert kind == "TXT"
            assert "".join(strings).replace('" "', "").strip('"') == by_name[name]
        assert (await program.command("domain", "keys", "keyed.example", *MINE)).stdout.count("CNAME") == 4


async def test_the_master_key_changes_while_mail_goes_on(keyed: Program) -> None:
    shown = await keyed.command_json("vault", "show")
    before = len(shown["keys"])
    links = [tracked_link(keyed)]
    assert (await keyed.command_json("vault", "rotate"))["is_new_key"] is True
    links.append(tracked_link(keyed))
    assert links[0] != links[1]
    assert [(await keyed.request("GET", link)).status for link in links] == [302, 302]
    shown = await keyed.command_json("vault", "show")
    assert [key["is_sealing"] for key in shown["keys"]] == [True] + [False] * before
    assert [key["sealed_count"] > 0 for key in shown["keys"]] == [True] + [False] * before
    session = (await keyed.send(["after@rotation.example"]))["SessionNo"]
    await keyed.command_json("domain", "add", "later.example", "--verified", *MINE)
    (row,) = (await keyed.settled(session))["Data"]
    assert row["Status"] == "delivered"
    assert (await keyed.command_json("vault", "reseal")) == {"is_new_key": False, "count": 0, "closed_count": 0}
    assert (await keyed.command_json("vault", "forget")) == {"forgotten": 0, "names": []}
    listed = await keyed.command("vault", "show")
    printed = listed.stdout + listed.stderr + keyed.log_path.read_text()
    for key in master_key.find("", keyed.data_dir, {}).read():
        assert key.octets.hex() not in printed
        assert master_key.write_line(key).split()[-1] not in printed


async def test_a_master_key_is_where_the_setting_says(folder: Path) -> None:
    line = (await Program(folder / "any").command("vault", "make")).stdout
    programs = {
        "env": {"OUTRIDER_MASTER_KEY": "env:SECRET_KEY", "SECRET_KEY": line},
        "none": {"OUTRIDER_MASTER_KEY": "env:OTHER_KEY"},
        "itself": {"OUTRIDER_MASTER_KEY": line.strip()},
    }
    async with Program(folder / "node", env=programs["env"]) as program:
        await program.command_json("domain", "add", "keyed.example", "--verified", *MINE)
        assert not (program.data_dir / "master.key").exists()
        assert "vault make" in (await program.command("vault", "rotate")).stderr
        for name in ("none", "itself"):
            wrong = await Program(program.data_dir, env=programs[name]).command("vault", "show")
            assert (wrong.code, "master_key" in wrong.stderr) == (EXIT_CONFIG, True)
            assert line.split()[2] not in wrong.stderr
