"""Node lines and CLUSTER NODES texts for hypothesis: well-formed ones, and such that were damaged."""

from __future__ import annotations

from hypothesis import strategies as st

# Every kind of character that text handling could stumble over; the whole of Unicode takes seconds to set up.
_ALPHABET = "\x00\x07\x1b \t\r\n\v\f\x1c\x85\xa0\u2028\u202e\ufeff\udc80abcf0159?-:@,[]<>=éß٣"
NODE_IDS = st.text("0123456789abcdef", min_size=40, max_size=40)
_PORTS = st.integers(0, 65535)
_HOSTS = st.sampled_from(["10.0.0.1", "::1", "2001:db8::5", "", "host.example"])
_HOSTNAMES = st.sampled_from(["", ",a.example", ",", ",,tls-port=0,shard-id=" + "c" * 40])
_FLAGS = st.lists(
    st.sampled_from(["fail?", "fail", "handshake", "noaddr", "nofailover", "new-flag"]), max_size=3, unique=True
)
_TIMES = st.sampled_from([0, 1_795_366_503_000, 1_795_366_503_329, 638_712_345_678_901_234])


@st.composite
def node_lines(draw: st.DrawFn, node_id: str, myself: bool) -> str:
    role = draw(st.sampled_from(["master", "slave"]))
    flags = ",".join([*(["myself"] if myself else []), role, *draw(_FLAGS)])
    primary = draw(NODE_IDS) if role == "slave" else "-"
    bounds = sorted(draw(st.sets(st.integers(0, 16383), max_size=6)))
    slots = [f"{first}-{last}" for first, last in zip(bounds[::2], bounds[1::2], strict=False)]
    opened = [f"[{draw(st.integers(0, 16383))}->-{draw(NODE_IDS)}]"] if draw(st.booleans()) else []
    place = f"{draw(_HOSTS)}:{draw(_PORTS)}@{draw(_PORTS)}{draw(_HOSTNAMES)}"
    fields = [node_id, place, flags, primary, str(draw(_TIMES)), str(draw(_TIMES)), str(draw(st.integers(0, 99)))]
    return " ".join([*fields, draw(st.sampled_from(["connected", "disconnected"])), *slots, *opened])


@st.composite
def good_lines(draw: st.DrawFn) -> list[str]:
    """The lines of one whole reply: each id once, and `myself` at most once."""
    ids = draw(st.lists(NODE_IDS, max_size=6, unique=True))
    mine = draw(st.sampled_from([None, *ids]))
    return [draw(node_lines(node_id, node_id == mine)) for node_id in ids]


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    """A reply with some places cut out, put in twice or overwritten."""
    text = "".join([f"{line}\n" for line in draw(good_lines())])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 60)))
        middle = draw(
            st.sampled_from(["", text[start:end] * 2, "\r", "\n", "\r\n", " ", "\t", "myself,", "65536", "\x00", "é"])
            | st.text(_ALPHABET, max_size=5)
        )
        text = text[:start] + middle + text[end:]
    return text


def any_texts() -> st.SearchStrategy[str]:
    """Anything a socket could bring, decoded with surrogate escapes."""
    return (
        st.text(_ALPHABET, max_size=200)
        | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
        | damaged_texts()
    )
