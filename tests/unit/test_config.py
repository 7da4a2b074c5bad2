"""File and environment become one `Config`, or one sentence that says what to change."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outrider.base.errors import ConfigError
from outrider.base.vocab import Phase, Stream
from outrider.config import FILE_NAME, PREFIX, SHORT_NAMES, Config, Origin, Setting, explain, load, read_own_file
from outrider.knowledge import make_classifier, make_shaping, own_rules, reply_rules, warmup_plans
from outrider.policy.route import Smarthost, Source, parse_smarthost
from outrider.policy.settings import Encryption, Override
from outrider.wire.answer import Answer
from outrider.wire.reply import Reply

SECRET = "hunter2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, text: str = "", **env: str) -> Config:
    (folder / FILE_NAME).write_text(text, "utf-8")
    return load({"OUTRIDER_DATA_DIR": str(folder)} | {PREFIX + name: value for name, value in env.items()})


def complaint(folder: Path, text: str = "", **env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **env)
    return caught.value.public


# What is read, and what wins.


def test_without_a_file_the_defaults_hold(folder: Path) -> None:
    config = load({"OUTRIDER_DATA_DIR": str(folder)})
    assert config == Config(data_dir=str(folder))
    assert (config.is_catch, config.smarthost, config.database_url) == (True, None, "")
    assert config.data_path == folder


def test_the_file_is_read_and_the_environment_wins(folder: Path) -> None:
    text = "delivery = 'direct'\n[engine]\nlease_s = 60\npoll_s = 2.5\n[net]\nallow_private_mx = true\n"
    config = read(folder, text, ENGINE__LEASE_S="90", HTTP_PORT="8100", LOG__LEVEL="debug")
    assert (config.delivery, config.is_catch) == ("direct", False)
    assert (config.engine.lease_s, config.engine.poll_s) == (90.0, 2.5)
    assert (config.faces.http_port, config.net.allow_private_mx, config.log.level) == (8100, True, "debug")


def test_a_file_anywhere_may_be_named(folder: Path) -> None:
    path = folder / "elsewhere.toml"
    path.write_text("[faces]\nhttp_port = 8111\n")
    (folder / FILE_NAME).write_text("[faces]\nhttp_port = 9\n")
    assert load({"OUTRIDER_CONFIG": str(path), "OUTRIDER_DATA_DIR": str(folder)}).faces.http_port == 8111


def test_a_named_file_that_is_missing_is_told(folder: Path) -> None:
    assert "does not exist" in complaint(folder, CONFIG=str(folder / "none.toml"))


@pytest.mark.parametrize("octets", [b"\xff\xfe", b"delivery = direct", b"[engine\n", b"a = 1\na = 2\n"])
def test_a_file_that_cannot_be_read_is_named(folder: Path, octets: bytes) -> None:
    path = folder / "broken.toml"
    path.write_bytes(octets)
    assert str(path) in complaint(folder, CONFIG=str(path))


def test_a_folder_is_no_file(folder: Path) -> None:
    assert str(folder) in complaint(folder, CONFIG=str(folder))


def test_other_peoples_variables_are_left_alone(folder: Path) -> None:
    env = dict(os.environ) | {"OUTRIDERS": "x", "MY_OUTRIDER_X": "y", "OUTRIDER_DATA_DIR": str(folder)}
    assert load({name: value for name, value in env.items() if not name.startswith("OUTRIDER_P")}) is not None
    assert read(folder, PARENT_FD="3") == Config(data_dir=str(folder)), "the supervisor's, no setting"


@pytest.mark.parametrize(("short", "full"), SHORT_NAMES.items())
def test_a_short_name_is_the_long_one(folder: Path, short: str, full: str) -> None:
    table, name = full.split(".")
    value = {"DNS_SERVER": "127.0.0.1:53", "ALLOW_PRIVATE_MX": "true"}.get(short, "4242")
    by_short = read(folder, **{short: value})
    assert by_short == read(folder, **{f"{table}__{name}".upper(): value})
    assert getattr(getattr(by_short, table), name) != getattr(getattr(Config(), table), name)


def test_the_data_directory_is_absolute_and_may_be_ones_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert Config(data_dir="~/mail").data_path == folder / "mail"
    assert Config().data_path.is_absolute()


# What stops the start.


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        ("", {"DELIVRY": "direct"}, ["'delivry'", "OUTRIDER_DELIVRY", "'delivery'"]),
        ("", {"ENGINE__LEESE_S": "9"}, ["[engine] 'leese_s'", "OUTRIDER_ENGINE__LEESE_S", "'lease_s'"]),
        ("", {"ENGINE_LEASE_S": "9"}, ["'engine_lease_s'", "OUTRIDER_ENGINE__LEASE_S, with two underscores"]),
        ("", {"HTTPPORT": "9"}, ["'httpport'", "'http_port'"]),
        ("", {"XYZZY": "9"}, ["There is no setting 'xyzzy'"]),
        ("http_port = 9\n", {}, ["'http_port'", "in [faces]"]),
        ("[engine]\nlane = 3\n", {}, ["[engine] 'lane'", "'lanes_max'"]),
        ("[engine.more]\na = 3\n", {}, ["[engine] 'more'"]),
    ],
)
def test_an_unknown_setting_is_named_with_what_was_meant(
    folder: Path, text: str, env: Mapping[str, str], words: list[str]
) -> None:
    said = complaint(folder, text, **env)
    for word in words:
        assert word in said, said


def test_no_hint_is_better_than_a_silly_one(folder: Path) -> None:
    assert complaint(folder, XYZZY="9").endswith("OUTRIDER_XYZZY).")


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        ("", {"ENGINE__LEASE_S": "soon"}, ["engine.lease_s", "float"]),
        ("", {"ENGINE__LEASE_S": "1.9"}, ["engine.lease_s", "2.0"]),
        ("", {"ENGINE__LEASE_S": "nan"}, ["engine.lease_s"]),
        ("", {"ENGINE__LEASE_S": "inf"}, ["engine.lease_s", "3600"]),
        ("", {"ENGINE__LEASE_S__X": "1"}, ["engine.lease_s"]),
        ("", {"ENGINE": "x"}, ["engine"]),
        ("", {"HTTP_PORT": ""}, ["faces.http_port", "int"]),
        ("", {"HTTP_PORT": "0"}, ["faces.http_port", "1"]),
        ("", {"HTTP_PORT": "65536"}, ["faces.http_port", "65535"]),
        ("", {"ALLOW_PRIVATE_MX": "perhaps"}, ["net.allow_private_mx", "bool"]),
        ("", {"LOG__LEVEL": "loud"}, ["log.level"]),
        ("[faces]\nhttp_port = true\n", {}, ["faces.http_port", "int"]),
        ("faces = 3\n", {"HTTP_PORT": "80"}, ["faces", "table"]),
        ("delivery = 3\n", {}, ["delivery", "str"]),
        ("engine = [1]\n", {}, ["engine"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    folder: Path, text: str, env: Mapping[str, str], words: list[str]
) -> None:
    said = complaint(folder, text, **env)
    for word in words:
        assert word in said, said


def sections() -> list[tuple[str, type[msgspec.Struct]]]:
    fields = msgspec.structs.fields(Config)
    return [(field.name, field.type) for field in fields if isinstance(field.default, msgspec.Struct)]


@pytest.mark.parametrize(("name", "section"), sections())
def test_the_defaults_are_within_their_own_bounds(name: str, section: type[msgspec.Struct]) -> None:
    """msgspec does not check what Python code puts into a record."""
    defaults: Any = msgspec.to_builtins(section())
    assert msgspec.convert(defaults, section) == section(), name


# The smart host.


@pytest.mark.parametrize(
    ("text", "smarthost"),
    [
        ("smarthost://mx.example:25", Smarthost("mx.example", 25)),
        ("smarthost://mx.example:587/", Smarthost("mx.example", 587)),
        ("smarthost://user:secret@mx.example:587", Smarthost("mx.example", 587, "user", "secret")),
        ("smarthost://us%40er:p%3Ass%2F%25@127.0.0.1:25", Smarthost("127.0.0.1", 25, "us@er", "p:ss/%")),
        ("smarthost://user:p@ss@mx.example:25", Smarthost("mx.example", 25, "user", "p@ss")),
        ("smarthost://[::1]:25", Smarthost("::1", 25)),
    ],
)
def test_a_smart_host_is_parsed(folder: Path, text: str, smarthost: Smarthost) -> None:
    assert parse_smarthost(text, "delivery") == smarthost
    config = read(folder, DELIVERY=text)
    assert config.smarthost == smarthost
    assert not config.is_catch


@pytest.mark.parametrize(
    "text",
    [
        *("", "Catch", "nowhere", "smtp://mx.example:25", "smarthost:mx.example:25", "smarthost://"),
        *("smarthost://mx.example", "smarthost://mx.example:x", "smarthost://mx.example:0", "smarthost://:25"),
        *("smarthost://mx.example:70000", "smarthost://mx.example:25/x", "smarthost://mx.example:25?x=1"),
        *("smarthost://mx.example:25#x", "smarthost://user:hun#ter2@mx.example:25", "smarthost://[::1:25"),
        *("smarthost://user@mx.example:25", "smarthost://:hunter2@mx.example:25"),
    ],
)
def test_what_is_no_way_out_is_refused_without_repeating_it(folder: Path, text: str) -> None:
    said = complaint(folder, DELIVERY=text)
    assert said.startswith("delivery")
    assert "hun" not in said


def test_no_password_is_in_any_repr(folder: Path) -> None:
    config = read(
        folder, DELIVERY=f"smarthost://user:{SECRET}@mx.example:25", DATABASE_URL=f"postgresql://u:{SECRET}@db/x"
    )
    assert config.smarthost is not None
    assert config.smarthost.password == SECRET
    for shown in (repr(config), str(config), f"{config.smarthost!r}", repr((config, config.smarthost))):
        assert SECRET not in shown
    assert "mx.example" in repr(config.smarthost)


# Sources and pools.

EGRESS = """
[net]
ehlo_name = "node.example"
[egress.sources.mta1]
address = "127.0.0.2"
ehlo_name = "mta1.example.com"
warmup = "careful"
[egress.sources.relay]
smarthost = "smarthost://user:hunter2@relay.example:587"
[egress.pools.default.mta1]
[egress.pools.marketing.mta1]
weight = 3
[egress.pools.marketing.relay]
use = "failover"
[[egress.assign]]
stream = "marketing"
pool = "marketing"
"""


def test_the_egress_of_a_file_is_made(folder: Path) -> None:
    made = read(folder, EGRESS).make_egress()
    relay = Source("relay", "", "node.example", Smarthost("relay.example", 587, "user", SECRET))
    assert made.sources == (Source("mta1", "127.0.0.2", "mta1.example.com", None, "careful"), relay)
    assert made.pools_served == ("default", "marketing")
    assert made.pool_for(Stream.MARKETING, (), "shop.example") == "marketing"
    assert [member.weight for member in made.order("marketing", "", 0.5)] == [3, 1]


def test_the_egress_of_the_environment_is_made(folder: Path) -> None:
    env = {
        "EGRESS__SOURCES__MTA1__ADDRESS": "127.0.0.2",
        "EGRESS__SOURCES__MTA2__ADDRESS": "127.0.0.3",
        "EGRESS__POOLS__DEFAULT__MTA1__WEIGHT": "3",
        "EGRESS__POOLS__DEFAULT__MTA2__USE": "failover",
        "EGRESS__POOLS__DEFAULT__MTA2__PROVIDERS": '["gmail", "yahoo"]',
        "EGRESS__ASSIGN": '[{stream = "transactional", pool = "default"}]',
    }
    made = read(folder, **env).make_egress()
    assert made.addresses == ("127.0.0.2", "127.0.0.3")
    assert [(one.weight, one.use) for one in made.order("default", "gmail", 0.5)] == [(3, "always"), (1, "failover")]
    assert len(made.order("default", "outlook", 0.5)) == 1
    assert len(made.assignments) == 1


def test_the_environment_changes_a_source_of_the_file(folder: Path) -> None:
    assert read(folder, EGRESS, EGRESS__SOURCES__MTA1__ADDRESS="127.0.0.9").make_egress().addresses == ("127.0.0.9",)


def test_without_sources_the_one_of_net_and_delivery_is_made(folder: Path) -> None:
    made = read(folder, DELIVERY="smarthost://mx.example:25", NET__SOURCE="127.0.0.2", NET__EHLO_NAME="a.example")
    (source,) = made.make_egress().sources
    assert source == Source("default", "127.0.0.2", "a.example", Smarthost("mx.example", 25))


def test_the_addresses_this_machine_must_have_come_with_their_settings(folder: Path) -> None:
    assert read(folder, EGRESS).own_addresses() == {"egress.sources.mta1.address": "127.0.0.2"}
    assert read(folder, NET__SOURCE="127.0.0.2").own_addresses() == {"net.source": "127.0.0.2"}
    assert read(folder).own_addresses() == {}


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        ("[egress.sources.a]\nadress = '::1'\n", {}, ["[egress.sources.a] 'adress'", "A__ADRESS", "'address'"]),
        ("", {"EGRESS__SOURCES__A__ADRESS": "::1"}, ["OUTRIDER_EGRESS__SOURCES__A__ADRESS", "'address'"]),
        ("[egress.pools.p.a]\nwight = 2\n", {}, ["[egress.pools.p.a] 'wight'", "'weight'"]),
        ("[[egress.assign]]\npool = 'p'\n[[egress.assign]]\npol = 'p'\n", {}, ["[egress.assign[2]] 'pol'", "'pool'"]),
        ("[egress.pools.p.a]\nweight = 0\n", {}, ["`$.egress.pools.p.a.weight`", "1"]),
        ("[egress.pools.p.a]\nuse = 'never'\n", {}, ["`$.egress.pools.p.a.use`", "never"]),
        ('[egress.sources.a]\nehlo_name = "a\\n"\n', {}, ["`$.egress.sources.a.ehlo_name`"]),
        ("[[egress.assign]]\nstream = 'news'\npool = 'p'\n", {}, ["`$.egress.assign[1].stream`", "news"]),
        ("[[egress.assign]]\nstream = 'marketing'\n", {}, ["`$.egress.assign[1]`", "pool"]),
        ("", {"EGRESS__ASSIGN": "marketing"}, ["`$.egress.assign`", "array"]),
        ("", {"EGRESS__POOLS__P__A__PROVIDERS": "gmail"}, ["`$.egress.pools.p.a.providers`", "array"]),
        ("[egress]\nsources = 3\n", {}, ["`$.egress.sources`"]),
        ("[egress.sources.a]\naddress = 'x'\n", {}, ["egress.sources.a.address"]),
        ("[egress.sources.a]\naddress = '::1'\n[net]\nsource = '127.0.0.1'\n", {}, ["net.source", "egress.sources"]),
        ("[net]\nsource = 'x'\n", {}, ["net.source"]),
        ("[[egress.assign]]\npool = 'p'\n", {}, ["egress.assign[1].pool", "'p'"]),
    ],
)
def test_a_wrong_egress_stops_the_start_and_is_named(
    folder: Path, text: str, env: Mapping[str, str], words: list[str]
) -> None:
    said = complaint(folder, text, **env)
    for word in words:
        assert word in said, said


@pytest.mark.parametrize("name", ["a\n", "a\r\nMAIL FROM:<>", "a b", "a" * 256])
def test_what_would_break_out_of_ehlo_is_refused_at_the_border(folder: Path, name: str) -> None:
    assert "`$.net.ehlo_name`" in complaint(folder, NET__EHLO_NAME=name)


def test_no_password_of_a_source_is_in_any_repr_or_complaint(folder: Path) -> None:
    config = read(folder, EGRESS)
    for shown in (repr(config), repr(config.egress), repr(config.make_egress())):
        assert SECRET not in shown
    for wrong in ("relay.example", "relay.example:0", "relay.example:25/x"):
        text = EGRESS.replace("relay.example:587", wrong)
        assert SECRET not in complaint(folder, text)


# Shaping: tables whose names are the operator's.


def test_limits_are_set_by_provider_and_pool(folder: Path) -> None:
    text = "[egress.pools.default]\n[egress.pools.bulk]\n[shaping.pools.bulk.gmail]\nrates = '10/s'\n"
    config = read(folder, text, SHAPING__PROVIDERS__GMAIL__CONNECTIONS="3", SHAPING__PROVIDERS__GMAIL__TLS="required")
    assert config.shaping.providers == {"gmail": Override(connections=3, tls=Encryption.REQUIRED)}
    assert config.shaping.pools == {"bulk": {"gmail": Override(rates="10/s")}}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"SHAPING__FIEL": "x"}, ["[shaping] 'fiel'", "'file'"]),
        (
            {"SHAPING__PROVIDERS__GMAIL__CONECTIONS": "3"},
            [
                "[shaping.providers.gmail] 'conections'",
                "OUTRIDER_SHAPING__PROVIDERS__GMAIL__CONECTIONS",
                "'connections'",
            ],
        ),
        ({"SHAPING__POOLS__BULK__GMAIL__RATE": "3"}, ["[shaping.pools.bulk.gmail] 'rate'", "'rates'"]),
        ({"SHAPING__PROVIDERS__GMAIL__CONNECTIONS": "0"}, ["shaping.providers.gmail.connections"]),
        ({"SHAPING__POOLS__BULK__GMAIL__TLS": "maybe"}, ["shaping.pools.bulk.gmail.tls", "maybe"]),
        ({"SHAPING__POOLS__BULK__GMAIL": "maybe"}, ["shaping.pools.bulk.gmail"]),
        ({"SHAPING__PROVIDERS": "maybe"}, ["shaping.providers"]),
    ],
)
def test_a_wrong_limit_is_named_with_its_table(folder: Path, env: dict[str, str], words: list[str]) -> None:
    text = complaint(folder, **env)
    assert [word for word in words if word not in text] == []


def test_limits_of_a_pool_that_nobody_has_stop_the_start(folder: Path) -> None:
    pools = "[egress.pools.default]\n[egress.pools.bulk]\n"
    said = complaint(folder, pools + "[shaping.pools.blk.gmail]\nconnections = 1\n")
    assert said.startswith("shaping.pools.blk: there is no pool 'blk'; there is bulk, default.")
    assert "'blk'; there is default." in complaint(folder, SHAPING__POOLS__BLK__GMAIL__CONNECTIONS="1")
    read(folder, SHAPING__POOLS__DEFAULT__GMAIL__CONNECTIONS="1")


def test_an_own_file_is_read_from_the_data_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "own.toml").write_text("# Nothing yet.\n", "utf-8")
    monkeypatch.setenv("HOME", str(folder))
    config = read(folder)
    for name in ("own.toml", str(folder / "own.toml"), "~/own.toml"):
        assert read_own_file(config, name, "[shaping] file") == "# Nothing yet.\n"
    assert read_own_file(config, "", "[shaping] file") == ""


def test_own_providers_and_plans_are_read_from_the_same_place(folder: Path) -> None:
    (folder / "shaping.toml").write_text("[[provider]]\nname = 'mine'\nmx = ['*.mine.example']\n", "utf-8")
    (folder / "plans.toml").write_text("[mine]\nstages = [10, 20]\n", "utf-8")
    config = read(folder, SHAPING__FILE="shaping.toml", WARMUP__FILE="plans.toml")
    assert "mine" in [provider.name for provider in make_shaping(config).providers]
    assert warmup_plans(config)["mine"].stages == (10, 20)


def test_own_rules_come_before_ours_and_replace_those_of_the_same_id(folder: Path) -> None:
    rule = """
        [[rule]]
        id = "{}"
        reason = "content.spam"
        pattern = '^550 5\\.1\\.1 '
        fate = "bounced"
        source = "us"
        seen_on = 2026-11-24
        samples = ["550 5.1.1 x"]
        """
    (folder / "rules.toml").write_text(
        rule.format("own.one") + rule.format("strict.no-user").replace("550", "551"), "utf-8"
    )
    ours = reply_rules(own_rules(read(folder)))
    found = reply_rules(own_rules(read(folder, CLASSIFY__FILE="rules.toml")))
    assert [rule.id for rule in found[:2]] == ["own.one", "strict.no-user"]
    assert len(found) == len(ours) + 1
    classifier = make_classifier(read(folder, CLASSIFY__FILE="rules.toml"))
    assert classifier.judge(Answer(Phase.RCPT, Reply(550, "5.1.1", "no such user"))).rule == "own.one"
    (folder / "rules.toml").write_text(rule.format("own.one") + rule.format("own.two"), "utf-8")
    with pytest.raises(ConfigError, match=r"a sample of rule own.two reaches rule own.one, which stands before it"):
        own_rules(read(folder, CLASSIFY__FILE="rules.toml"))
    (folder / "rules.toml").write_text(rule.format("own.one").replace("spam", "spma"), "utf-8")
    with pytest.raises(ConfigError, match=r"\[classify\] file cannot be read: rule own.one: Invalid enum"):
        own_rules(read(folder, CLASSIFY__FILE="rules.toml"))


@pytest.mark.parametrize("name", ["none.toml", ".", "broken.toml"])
def test_an_own_file_that_cannot_be_read_is_named(folder: Path, name: str) -> None:
    (folder / "broken.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"\[shaping\] file names .*cannot be read"):
        make_shaping(read(folder, SHAPING__FILE=name))
    with pytest.raises(ConfigError, match=r"\[warmup\] file names .*cannot be read"):
        warmup_plans(read(folder, WARMUP__FILE=name))
    with pytest.raises(ConfigError, match=r"\[classify\] file names .*cannot be read"):
        own_rules(read(folder, CLASSIFY__FILE=name))


def test_warm_up_plans_may_be_written_down(folder: Path) -> None:
    text = "[warmup.plans.mine]\nstages = [10, 20]\n[warmup.plans.mine.thresholds]\nattempted_min = 5\n"
    plan = read(folder, text).warmup.plans["mine"]
    assert (plan.stages, plan.thresholds.attempted_min) == ((10, 20), 5)
    assert "attempted_mni" in complaint(folder, text.replace("min", "mni"))


def test_networks_of_the_relay_are_ranges_with_a_key() -> None:
    listed = '[{range = "10.1.2.0/24", access_key_id = "k1"}, {range = "192.0.2.7", access_key_id = "k2"}]'
    config = load({"OUTRIDER_SUBMISSION__NETWORKS": listed})
    found = [(str(one), key) for one, key in config.submission_networks()]
    assert found == [("10.1.2.0/24", "k1"), ("192.0.2.7/32", "k2")]
    assert load({}).submission_networks() == ()
    with pytest.raises(ConfigError, match=r"submission\.networks"):
        load({"OUTRIDER_SUBMISSION__NETWORKS": '[{range = "all", access_key_id = "k1"}]'})


def test_trusted_proxies_are_addresses_and_ranges() -> None:
    """As a list in the environment, checked at the start."""
    config = load({"OUTRIDER_FACES__TRUSTED_PROXIES": '["192.0.2.7", "10.0.0.0/8"]'})
    assert [str(network) for network in config.trusted_proxies()] == ["192.0.2.7/32", "10.0.0.0/8"]
    for wrong in ("proxy", "10.0.0.0/33", ""):
        with pytest.raises(ConfigError, match=r"faces\.trusted_proxies"):
            load({"OUTRIDER_FACES__TRUSTED_PROXIES": f'["{wrong}"]'})


# Where each value comes from.


def explained(folder: Path, text: str = "", **env: str) -> dict[str, Setting]:
    (folder / FILE_NAME).write_text(text, "utf-8")
    found = explain({"OUTRIDER_DATA_DIR": str(folder)} | {PREFIX + name: value for name, value in env.items()})
    assert len({one.key for one in found}) == len(found)
    return {one.key: one for one in found}


def test_every_value_has_its_origin(folder: Path) -> None:
    text = "[engine]\nlease_s = 60\npoll_s = 2.5\n[net]\nallow_private_mx = true\n"
    found = explained(folder, text, ENGINE__LEASE_S="90", HTTP_PORT="8100")
    assert found["engine.lease_s"] == Setting("engine.lease_s", "90.0", Origin.ENVIRONMENT, "OUTRIDER_ENGINE__LEASE_S")
    assert found["engine.poll_s"] == Setting("engine.poll_s", "2.5", Origin.FILE, str(folder / FILE_NAME))
    assert found["net.allow_private_mx"].value == "true"
    assert (found["faces.http_port"].value, found["faces.http_port"].place) == ("8100", "OUTRIDER_HTTP_PORT")
    assert found["net.tls_verify"] == Setting("net.tls_verify", "true", Origin.DEFAULT)
    assert (found["egress.sources"].value, found["egress.assign"].value) == ("{}", "[]")


def test_every_setting_is_among_them(folder: Path) -> None:
    found = explained(folder)
    for field in msgspec.structs.fields(Config):
        value = getattr(Config(), field.name)
        if isinstance(value, msgspec.Struct):
            assert {f"{field.name}.{one.name}" for one in msgspec.structs.fields(value)} <= set(found)
        else:
            assert field.name in found


def test_of_tables_with_names_of_ones_own_what_is_written_is_told(folder: Path) -> None:
    text = """
        [egress.sources.a]
        address = "192.0.2.7"
        [egress.sources.b]
        address = "192.0.2.8"
        warmup = "sparkpost"
        [egress.pools.default.a]
        weight = 2
        [egress.pools.default.b]
        [shaping.providers.gmail]
        connections = 3
    """
    found = explained(folder, text, EGRESS__ASSIGN='[{stream = "marketing", pool = "default"}]')
    told = {key: (one.value, one.origin) for key, one in found.items() if one.origin is not Origin.DEFAULT}
    assert told == {
        "data_dir": (str(folder), Origin.ENVIRONMENT),
        "egress.sources.a.address": ("192.0.2.7", Origin.FILE),
        "egress.sources.b.address": ("192.0.2.8", Origin.FILE),
        "egress.sources.b.warmup": ("sparkpost", Origin.FILE),
        "egress.pools.default.a.weight": ("2", Origin.FILE),
        "egress.assign[1].pool": ("default", Origin.ENVIRONMENT),
        "egress.assign[1].stream": ("marketing", Origin.ENVIRONMENT),
        "shaping.providers.gmail.connections": ("3", Origin.FILE),
    }


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("DATABASE_URL", f"postgresql://u:{SECRET}@h/d", "***"),
        ("DATABASE_URL", f"postgresql:///d?password={SECRET}", "***"),
        ("DELIVERY", f"smarthost://u:{SECRET}@mx.example:587", "smarthost://***@mx.example:587"),
        ("DELIVERY", "smarthost://mx.example:25", "smarthost://mx.example:25"),
        ("EGRESS__SOURCES__A__SMARTHOST", f"smarthost://u:{SECRET}@mx.example:25", "smarthost://***@mx.example:25"),
        ("MASTER_KEY", SECRET, "***"),
        ("MASTER_KEY", "env:KEYS", "env:KEYS"),
        ("MASTER_KEY", "file:/keys", "file:/keys"),
    ],
)
def test_secrets_are_not_told(folder: Path, key: str, value: str, shown: str) -> None:
    found = explained(folder, "", **{key: value})
    (one,) = [one for one in found.values() if one.place == PREFIX + key]
    assert one.value == shown
    assert SECRET not in str(found)


def test_settings_that_are_wrong_explain_nothing(folder: Path) -> None:
    with pytest.raises(ConfigError, match="lease"):
        explained(folder, "[engine]\nlease = 3\n")
