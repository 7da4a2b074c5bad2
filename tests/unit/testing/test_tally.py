"""The sink's memory: waiting, forgetting, the record file."""

from pathlib import Path

from outrider.testing.tally import Tally


async def test_a_wait_ends_at_its_target_or_in_time() -> None:
    tally = Tally()
    assert not await tally.wait(1, is_unique=False, timeout_s=0.001)
    tally.add([b"a@x.example"], b"<1>", 10)
    tally.add([b"a@x.example"], b"<1>", 10)
    assert await tally.wait(2, is_unique=False, timeout_s=0.001)
    assert not await tally.wait(2, is_unique=True, timeout_s=0.001)


def test_the_record_holds_every_message_and_a_reset_does_not_touch_it(tmp_path: Path) -> None:
    record = tmp_path / "taken.tsv"
    tally = Tally(record)
    for number in range(300):
        tally.add([b"a@x.example", b"b@x.example"], b"<%d>" % number, 10)
    tally.reset()
    tally.close()
    lines = record.read_bytes().splitlines()
    assert len(lines) == 300
    assert lines[-1].split(b"\t")[1:] == [b"10", b"<299>", b"a@x.example,b@x.example"]
    assert tally.counts().messages == 0


def test_who_got_a_message_twice_is_named() -> None:
    tally = Tally()
    for recipient, message_id in ((b"a@x", b"<1>"), (b"b@x", b"<2>"), (b"a@x", b"<3>"), (b"b@x", b"<2>")):
        tally.add([recipient], message_id, 1)
    assert tally.recipients_repeated() == ["b@x"]
    assert tally.recipients_seen() == ["a@x", "b@x"]
