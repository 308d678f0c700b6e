"""Seeds as people write them."""

from __future__ import annotations

import pytest

from rcfail.cluster.nouns import Endpoint
from rcfail.settings.seeds import BadSeed, doubt, parse_seed, parse_seeds


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:7000", "10.0.0.5", 7000),
        ("10.0.0.5", "10.0.0.5", 6379),
        ("redis-0.redis.svc.cluster.local:6380", "redis-0.redis.svc.cluster.local", 6380),
        ("redis-0.example.org.", "redis-0.example.org.", 6379),
        ("my_host", "my_host", 6379),
        ("[::1]:7000", "::1", 7000),
        ("[::1]", "::1", 6379),
        ("::1", "::1", 6379),
        ("2001:db8::7", "2001:db8::7", 6379),
        ("fe80::1%eth0", "fe80::1%eth0", 6379),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ("h:65535", "h", 65535),
        ("h:06379", "h", 6379),
    ],
)
def test_a_seed_is_read(text: str, host: str, port: int) -> None:
    assert parse_seed(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7000",
        "h:",
        "h:0",
        "h:65536",
        "h:-1",
        "h:+1",
        "h:7000x",
        "h:٧",  # a digit to str.isdecimal, not to a port
        "h:999999999999",
        "a b:1",
        "a..b",
        ".",
        "h/0:1",
        "[::1",
        "[::1]7000",
        "[::1]:",
        "[]:1",
        "[h]:1",
        "1:2:3",
        "::1::2",
        "h\x00:1",
        "h\x1b[31m",
        "x" * 64,
        "a." * 127 + "toolong",
    ],
)
def test_what_names_no_address_is_turned_down(text: str) -> None:
    with pytest.raises(BadSeed):
        parse_seed(text)


@pytest.mark.parametrize("text", ["redis://u:hunter2@h:1", "u:hunter2@h:1", "rediss://:hunter2@h", "h:7000@17000"])
def test_what_could_hold_a_password_is_not_repeated(text: str) -> None:
    with pytest.raises(BadSeed) as caught:
        parse_seed(text)
    assert "hunter2" not in str(caught.value)
    assert "HOST:PORT" in str(caught.value)


def test_a_comma_list_is_several_seeds_and_no_part_may_be_empty() -> None:
    assert parse_seeds("a:1, b ,[::1]:2") == (Endpoint("a", 1), Endpoint("b", 6379), Endpoint("::1", 2))
    for text in ("a,", ",a", "a,,b", ","):
        with pytest.raises(BadSeed, match="empty"):
            parse_seeds(text)


def test_an_ipv6_address_that_looks_like_address_and_port_is_doubted() -> None:
    assert "[::1]:7000" in doubt("::1:7000")
    assert parse_seed("::1:7000") == Endpoint("::1:7000", 6379)
    for clear in ("::1", "[::1]:7000", "h:7000", "h", "2001:db8::a", "1:2:3:4:5:6:7:8"):
        assert doubt(clear) == "", clear
