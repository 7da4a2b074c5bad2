"""What is packed comes back, and always takes the same room."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from outrider.policy import gate as layout
from outrider.policy.gate import Gate

INSTANTS = st.floats(0, 4e9, allow_nan=False)
COUNTS = st.integers(0, 2**32 - 1)
TEXTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)


@st.composite
def gates(draw: st.DrawFn) -> Gate:
    gate = Gate()
    for name in gate.__struct_fields__:
        value = getattr(gate, name)
        if isinstance(value, float):
            setattr(gate, name, draw(INSTANTS))
        elif isinstance(value, int):
            setattr(gate, name, draw(COUNTS))
        elif isinstance(value, str):
            setattr(gate, name, draw(TEXTS))
    gate.tats = draw(st.lists(INSTANTS, min_size=len(gate.tats), max_size=len(gate.tats)))
    gate.connections[draw(st.integers(0, 63))] = draw(st.integers(0, 65535))
    gate.wants[draw(st.integers(0, 63))] = draw(INSTANTS)
    gate.hits = draw(st.binary(min_size=len(gate.hits), max_size=len(gate.hits)))
    return gate


@given(gates())
def test_a_packed_gate_comes_back(gate: Gate) -> None:
    packed = layout.pack(gate)
    assert len(packed) == layout.SIZE_BYTES
    assert layout.unpack(packed) == gate
    assert layout.unpack(b"before" + packed, 6) == gate


def test_zeros_are_a_new_gate() -> None:
    assert layout.unpack(bytes(layout.SIZE_BYTES)) == Gate()
    assert layout.pack(Gate()) == bytes(layout.SIZE_BYTES)


def test_a_long_text_is_cut_between_characters() -> None:
    gate = layout.unpack(layout.pack(Gate(rest_rule="é" * 100, rest_said="x" + "é" * 100)))
    assert gate.rest_rule == "é" * 24
    assert gate.rest_said == "x" + "é" * 31


def test_two_gates_share_nothing() -> None:
    first, second = Gate(), Gate()
    first.connections[0] = 1
    first.tats[0] = 1.0
    assert second.connections == array("H", bytes(128))
    assert second.tats[0] == 0
