"""The relay file: what a good one gives, and that each fault is named by file, key and reason."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.relay_files import GOOD, HEAD, SUITE, key, key_text, octets, session, write

from srtpgw.address import Address
from srtpgw.config import GATEWAY_KEYS, GatewayConfig
from srtpgw.errors import ConfigError
from srtpgw.relay.file import FILE_MAX, RelayConfig, load_relay
from srtpgw.relay.values import LEG_KEYS, SECRET_KEYS
from srtpgw.srtp import MasterKey

FIRST = "session[phone-to-trunk].leg[1]"
SECOND = "session[phone-to-trunk].leg[2]"
GCM = "AEAD_AES_128_GCM"


def load(tmp_path: Path, text: str, mode: int = 0o600) -> RelayConfig:
    return load_relay(write(tmp_path / "relay.toml", text, mode))


def faults(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    """The faults of a file by key; several of one key are joined."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, mode)
    found: dict[str, str] = {}
    for fault in caught.value.faults:
        assert fault.file == str(tmp_path / "relay.toml")
        assert str(fault).startswith(f"{fault.file}: ")
        found[fault.key] = "; ".join(filter(None, [found.get(fault.key), fault.reason]))
    return found


def test_the_documented_file(tmp_path: Path) -> None:
    read = load(tmp_path, GOOD)
    assert read.media_encryption == {"extension": True, "route": False, "intermgw": False}
    (only,) = read.sessions
    secure, plain = only.legs
    assert only.name == "phone-to-trunk"
    assert (secure.type, plain.type) == ("extension", "route")
    assert (secure.local, secure.remote) == (Address("127.0.0.1", 20000), Address("127.0.0.1", 30000))
    assert (secure.suite, secure.receive_keys, secure.transmit_keys) == (SUITE, (key(1),), (key(2),))
    assert secure.name == "phone-to-trunk/1"
    assert not plain.encrypted
    assert read.gateway == GatewayConfig()


def test_every_setting(tmp_path: Path) -> None:
    gateway = """
[gateway]
workers = 2
cpus = [0, 1]
engine = "socket"
crypto = "libsrtp"
pacing-us = 0
port-range = [20000, 20999]
bind-ipv4 = "192.0.2.1"
bind-ipv6 = "2001:db8::1"
advertised-ipv4 = "198.51.100.1"
advertised-ipv6 = "2001:db8::2"
metrics = "127.0.0.1:9464"
"""
    encrypted = f"""
transmit-suite = "{GCM}"
window = 64
max-ssrcs = 3
rtcp-mux = true
source = "strict"
dscp = 0
hold = true
media-timeout = 2.5
clock-rate = 48000
roc-hints = [7]
"""
    text = gateway + GOOD.replace(key_text(2), key_text(2, GCM)).replace(
        "\n\n[[session.leg]]\ntype = \"route\"\nlocal = \"127.0.0.1:20002\"",
        encrypted + '\n[[session.leg]]\ntype = "route"\nfamily = 6\n',
    ).replace('remote = "127.0.0.1:30002"', 'remote = "[::1]:30002"\nremote-rtcp = "[::1]:40000"')  # fmt: skip
    read = load(tmp_path, text)
    assert read.gateway.port_range == (20000, 20999)
    assert read.gateway.pacing_us == 0
    assert read.gateway.metrics == Address("127.0.0.1", 9464)
    assert (read.gateway.cpus, read.gateway.crypto) == ((0, 1), "libsrtp")
    secure, plain = read.sessions[0].legs
    assert (secure.window, secure.max_ssrcs, secure.dscp, secure.hold, secure.media_timeout) == (64, 3, 0, True, 2.5)
    assert (secure.sending_suite, secure.roc_hints, secure.clock_rate) == (GCM, (7,), 48000)
    assert (plain.local, plain.family, plain.rtcp_target) == (None, 6, Address("::1", 40000))


def test_several_keys_with_mki_and_lifetime(tmp_path: Path) -> None:
    keys = f'["{key_text(1)}|2^31|1:2", "{key_text(3)}|2:2"]'
    read = load(tmp_path, GOOD.replace(f'"{key_text(1)}"', keys))
    assert read.sessions[0].legs[0].receive_keys == (
        MasterKey(octets(1), b"\0\1", 1 << 31),
        MasterKey(octets(3), b"\0\2"),
    )


Change = Callable[[str], str]


def swap(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def add(line: str, leg: str = "extension") -> Change:
    return swap(f'type = "{leg}"', f'type = "{leg}"\n{line}')


def gateway(line: str) -> Change:
    return lambda text: f"[gateway]\n{line}\n{text}"


def second(local: tuple[int, int] = (21000, 21002), keys: tuple[int, int] = (3, 4)) -> Change:
    return lambda text: text + session("other", local=local, keys=keys)


FAULTS: list[tuple[str, Change, str, str]] = [
    ("bad base64", swap(key_text(1), key_text(1)[:-1] + "*"), f"{FIRST}.receive-key", "is not base64"),
    ("wrong key length", swap(key_text(1), key_text(1, GCM)), f"{FIRST}.receive-key", "28 octets where AES_CM_128"),
    ("no inline", swap(key_text(2), key_text(2)[7:]), f"{FIRST}.transmit-key", "inline:"),
    ("same key both ways", swap(key_text(2), key_text(1)), f"{FIRST}.transmit-key", "is also the receiving key"),
    ("key in two sessions", second(keys=(3, 1)), "session[other].leg[1].transmit-key", f"key of {FIRST}.receive-key"),
    ("sent twice", second(keys=(3, 2)), "session[other].leg[1].transmit-key", f"key of {FIRST}.transmit-key too"),
    ("received twice", second(keys=(1, 4)), "session[other].leg[1].receive-key", f"key of {FIRST}.receive-key"),
    ("bad key of two", swap(f'"{key_text(1)}"', f'["{key_text(1)}|1:1", "x"]'), f"{FIRST}.receive-key[2]", "inline:"),
    ("two and no MKI", swap(f'"{key_text(1)}"', f'["{key_text(1)}", "{key_text(5)}"]'), f"{FIRST}.receive-key", "MKI"),
    ("empty list", swap(f'"{key_text(1)}"', "[]"), f"{FIRST}.receive-key", "list of 1 to"),
    ("key not text", swap(f'"{key_text(1)}"', "1"), f"{FIRST}.receive-key", "is not text"),
    ("only one key", swap(f'transmit-key = "{key_text(2)}"', ""), f"{FIRST}.transmit-key", "needed both ways"),
    ("keys without suite", swap(f'suite = "{SUITE}"', ""), f"{FIRST}.suite", "is missing, but receive-key is there"),
    ("suite without keys", add(f'suite = "{SUITE}"', "route"), f"{SECOND}.suite", "without keys"),
    ("unknown suite", swap(SUITE, "AES_CM_129"), f"{FIRST}.suite", "is not one of AES_CM_128_HMAC_SHA1_80"),
    ("NULL suite", swap(SUITE, "NULL_HMAC_SHA1_80"), f"{FIRST}.suite", "is not one of"),
    ("flag off", swap('extension = "on"', 'extension = "off"'), f"{FIRST}.type", "has keys, but media"),
    ("flag on", swap('route = "off"', 'route = "on"'), f"{SECOND}.type", "has no keys, but media encryption is on"),
    ("flag is a boolean", swap('"off"', "false"), "media-encryption.route", 'is neither "on" nor "off"'),
    ("flag on, as a boolean", swap('"on"', "true"), "media-encryption.extension", 'is neither "on" nor "off"'),
    ("flag of another type", swap("route =", "trunk ="), "media-encryption.trunk", "is not known"),
    ("port twice", swap("20002", "20000"), f"{SECOND}.local", f"needs port 20000, which {FIRST}.local needs"),
    ("RTCP on RTP's port", swap("20002", "20001"), f"{SECOND}.local", f"needs port 20001, which {FIRST}.local needs"),
    ("all addresses", swap("127.0.0.1:20002", "0.0.0.0:20000"), f"{SECOND}.local", "needs port 20000"),
    ("port in two sessions", second(local=(20003, 21002)), "session[other].leg[1].local", f"which {SECOND}.local"),
    ("port too high", swap("127.0.0.1:20002", "127.0.0.1:65536"), f"{SECOND}.local", "outside 1 to 65535"),
    ("no room for RTCP", swap("127.0.0.1:20002", "127.0.0.1:65535"), f"{SECOND}.local", "RTCP on the port above"),
    ("a name for an address", swap("127.0.0.1:30002", "trunk:30002"), f"{SECOND}.remote", "numeric IP address"),
    ("multicast", swap("127.0.0.1:30002", "224.0.0.1:30002"), f"{SECOND}.remote", "multicast"),
    ("other family", swap("127.0.0.1:30002", "[::1]:30002"), f"{SECOND}.remote", "is not an IPv4 address"),
    ("own address", swap("127.0.0.1:30002", "127.0.0.1:20002"), f"{SECOND}.remote", "own address"),
    ("no remote", swap('remote = "127.0.0.1:30002"', ""), f"{SECOND}.remote", "is missing"),
    ("no type", swap('type = "route"', ""), f"{SECOND}.type", "is missing"),
    ("unknown type", swap('type = "route"', 'type = "trunk"'), f"{SECOND}.type", "is not one of extension, "),
    ("unknown key", add("recieve-key = 1"), f"{FIRST}.recieve-key", "did you mean receive-key?"),
    ("underscore", add("rtcp_mux = true"), f"{FIRST}.rtcp_mux", "did you mean rtcp-mux?"),
    ("unknown table", lambda text: text + "[media_encryption]\n", "media_encryption", "did you mean media-encryption?"),
    ("family and local", add("family = 4"), f"{FIRST}.family", "beside local"),
    ("window", add("window = 63"), f"{FIRST}.window", "is outside 64 to 32767"),
    ("boolean for a number", add("window = true"), f"{FIRST}.window", "is not a whole number"),
    ("number for a boolean", add("rtcp-mux = 1"), f"{FIRST}.rtcp-mux", "neither true nor false"),
    ("not a number", add("media-timeout = nan"), f"{FIRST}.media-timeout", "is outside 0 to 86400"),
    ("dscp", add("dscp = 64"), f"{FIRST}.dscp", "is outside 0 to 63"),
    ("source", add('source = "learn-once"'), f"{FIRST}.source", "authenticated follows NAT"),
    ("one leg", lambda text: text[: text.rindex("[[session.leg]]")], "session[phone-to-trunk].leg", "is there once: a"),
    ("three legs", lambda text: text + '[[session.leg]]\ntype = "route"\n', "session[phone-to-trunk].leg", "3 times"),
    ("legs as a table", lambda _: '[[session]]\nname = "a"\n[session.leg]\n', "session[a].leg", "list of tables"),
    ("name twice", lambda text: text + session(local=(21000, 21002), keys=(3, 4)), "session[#2].name", "earlier"),
    ("no name", swap('name = "phone-to-trunk"', ""), "session[#1].name", "is missing"),
    ("name with a slash", swap("phone-to-trunk", "a/b"), "session[#1].name", "printable text"),
    ("name not text", swap('"phone-to-trunk"', "7"), "session[#1].name", "is not text"),
    ("unknown in session", swap('name = "', 'nmae = "x"\nname = "'), "session[phone-to-trunk].nmae", "mean name?"),
    ("no session", lambda _: HEAD, "session", "is missing"),
    ("session as a table", lambda _: "[session]\n", "session", "list of tables"),
    ("gateway as a list", lambda text: "[[gateway]]\n" + text, "gateway", "is not a table"),
    ("workers", gateway("workers = 0"), "gateway.workers", "is outside 1 to 256"),
    ("pacing", gateway("pacing-us = 10001"), "gateway.pacing-us", "is outside 0 to 10000"),
    ("cpus", gateway("workers = 2\ncpus = [0]"), "gateway.cpus", "names 1 cores for 2 workers"),
    ("engine", gateway('engine = "dpdk"'), "gateway.engine", "is not one of socket"),
    ("port range", gateway("port-range = [5004, 5002]"), "gateway.port-range", "[LOWEST, HIGHEST]"),
    ("port range of three", gateway("port-range = [5004, 5006, 5008]"), "gateway.port-range", "at most 2"),
    ("bind", gateway('bind-ipv4 = "::1"'), "gateway.bind-ipv4", "is not an IPv4 address"),
    ("bind the other way", gateway('bind-ipv6 = "127.0.0.1"'), "gateway.bind-ipv6", "is not an IPv6 address"),
    ("a range of no pair", gateway("port-range = [20001, 20002]"), "gateway.port-range", "no even port with the one"),
    ("to the other leg", swap("127.0.0.1:30002", "127.0.0.1:20000"), f"{SECOND}.remote", f"is where {FIRST} receives"),
    ("to its RTCP port", swap("127.0.0.1:30002", "127.0.0.1:20001"), f"{SECOND}.remote", f"is where {FIRST} receives"),
    ("a key as a name", swap("phone-to-trunk", "Q" * 40), "session[#1].name", "looks like a key"),
    ("metrics", gateway('metrics = "9464"'), "gateway.metrics", "ADDRESS:PORT"),
    ("not TOML", swap("[[session]]", "[[session"), "", "is not TOML: Expected ']]' at the end of an array declaration"),
    ("no sign", swap("name =", "name"), "", "is not TOML: Expected '=' after a key in a key/value pair (at line"),
    ("key twice", add('type = "route"'), "", "is not TOML"),
    ("nested", lambda _: "a = " + "[" * 100_000, "", "nests too deeply"),
    ("a huge number", lambda _: "a = " + "9" * 5000, "", "is not TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "where", "reason"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_a_fault_is_named(tmp_path: Path, change: Change, where: str, reason: str) -> None:
    text = change(GOOD)
    found = faults(tmp_path, text)
    assert where in found
    assert reason in found[where]
    # One mistake is one fault: nothing is said that merely follows from it.
    assert len(found) == 1, found
    for secret in (key_text(number)[7:] for number in range(1, 6)):
        assert secret[:8] not in str(found)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD
    for change in (
        swap(key_text(1), key_text(1)[:-1] + "*"),
        swap("20002", "20001"),
        add("wndow = 5", "route"),
        add("dscp = 99", "route"),
        gateway("workers = 0"),
        swap("[media-encryption]", "[media-encryption]\nintermgw = 1"),
    ):
        text = change(text)
    assert set(faults(tmp_path, text, 0o644)) == {
        "",
        f"{FIRST}.receive-key",
        f"{SECOND}.local",
        f"{SECOND}.wndow",
        f"{SECOND}.dscp",
        "gateway.workers",
        "media-encryption.intermgw",
    }


FORWARD = f"""
[media-encryption]
extension = "on"

[[session]]
name = "pass"

[[session.leg]]
type = "extension"
local = "127.0.0.1:20000"
remote = "127.0.0.1:30000"
suite = "{SUITE}"
receive-key = "{key_text(1)}"
transmit-key = "{key_text(2)}"

[[session.leg]]
type = "extension"
local = "127.0.0.1:20002"
remote = "127.0.0.1:30002"
suite = "{SUITE}"
receive-key = "{key_text(2)}"
transmit-key = "{key_text(1)}"
"""


def test_one_key_on_both_sides_of_a_session_is_verify_and_forward(tmp_path: Path) -> None:
    (only,) = load(tmp_path, FORWARD).sessions
    assert only.forwards(0)
    assert only.forwards(1)


def test_verify_and_forward_one_way(tmp_path: Path) -> None:
    text = FORWARD.replace(f'receive-key = "{key_text(2)}"', f'receive-key = "{key_text(3)}"')
    (only,) = load(tmp_path, text).sessions
    assert only.forwards(0)
    assert not only.forwards(1)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        # The same octets under another suite make the same keystream: that is no forwarding.
        (f'suite = "{SUITE}"\nreceive-key = "{key_text(2)}"',
         f'suite = "{SUITE.replace("80", "32")}"\nreceive-key = "{key_text(2)}"', "session[pass].leg[2].transmit-key"),
        # The first leg's sending key is the second leg's too: keystream twice.
        (f'transmit-key = "{key_text(1)}"', f'transmit-key = "{key_text(2)}"', "session[pass].leg[2].transmit-key"),
    ],
)  # fmt: skip
def test_what_is_not_verify_and_forward_is_a_key_used_twice(tmp_path: Path, old: str, new: str, where: str) -> None:
    assert where in faults(tmp_path, FORWARD.replace(old, new))


def test_a_third_use_of_a_forwarded_key_is_refused(tmp_path: Path) -> None:
    text = FORWARD + session("third", local=(21000, 21002), keys=(5, 1)).replace('"route"', '"route"')
    assert set(faults(tmp_path, text)) == {"session[third].leg[1].transmit-key"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_file_with_keys_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    assert "chmod 600" in faults(tmp_path, GOOD, mode)[""]


def test_a_file_without_keys_may_be_read_by_all(tmp_path: Path) -> None:
    text = "".join(line for line in GOOD.splitlines(keepends=True) if "-key" not in line and "suite" not in line)
    assert load(tmp_path, text.replace('"on"', '"off"'), 0o644).sessions


def test_a_broken_file_with_keys_is_still_its_owners_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD + "[", 0o644)
    assert len(caught.value.faults) == 2


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(ConfigError):
            load_relay(path)


def test_a_file_may_not_grow_without_bound(tmp_path: Path) -> None:
    path = write(tmp_path / "relay.toml", "")
    os.truncate(path, FILE_MAX + 1)
    with pytest.raises(ConfigError, match="larger than"):
        load_relay(path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + GOOD).sessions


def test_what_libsrtp_cannot_do_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "relay.toml", FORWARD)
    assert load_relay(file, "native").sessions
    with pytest.raises(ConfigError, match=r"session\[pass\]: libsrtp cannot verify a packet and leave it"):
        load_relay(file, "libsrtp")
    with pytest.raises(ConfigError, match="libsrtp cannot verify"):
        load(tmp_path, '[gateway]\ncrypto = "libsrtp"\n' + FORWARD)
    monkeypatch.setattr("srtpgw.libsrtp.status", lambda: {"available": True, "missing_suites": {SUITE: "not built"}})
    with pytest.raises(ConfigError, match=r"leg\[1\].suite: is not in the libsrtp of this host"):
        load_relay(write(file, GOOD), "libsrtp")
    monkeypatch.setattr("srtpgw.libsrtp.status", lambda: {"available": False, "fault": "no such library"})
    with pytest.raises(ConfigError, match=r"gateway\.crypto: libsrtp cannot be used: no such library"):
        load_relay(file, "libsrtp")


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_relay(path)


def test_a_key_in_the_wrong_place_is_never_shown(tmp_path: Path) -> None:
    secret = key_text(1)
    bare = secret[7:].replace("+", "A").replace("/", "B")
    for text in (
        f'"{secret}" = 1\n{GOOD}',
        f"{bare} = 1\n{GOOD}",
        f"a.{bare} = 1\na.{bare} = 2\n",
        f'{GOOD}\n[[session]]\nname = "{secret}"\n',
        f"{GOOD}\ntype = {secret}",
        GOOD.replace('type = "route"', f'type = "{secret}"'),
        GOOD.replace('"127.0.0.1:30002"', f'"{secret}"'),
        GOOD.replace(SUITE, secret),
        f'gateway = "{secret}"\n{GOOD}',
    ):
        shown = str(faults(tmp_path, text))
        assert secret[7:15] not in shown
        assert bare[:8] not in shown


@given(st.data())
def test_a_mutated_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.toml"
    at = data.draw(st.integers(0, len(GOOD)))
    cut = data.draw(st.integers(0, 30))
    piece = data.draw(st.text(max_size=10) | st.sampled_from(["[[session]]\n", '"', "=", "\n", "[gateway]\n", "true"]))
    write(path, GOOD[:at] + piece + GOOD[at + cut :])
    told: tuple[ConfigError, ...] = ()
    try:
        load_relay(path)
    except ConfigError as error:
        told = error.faults
    assert all(secret not in str(fault) for fault in told for secret in (key_text(1)[7:], key_text(2)[7:]))


def test_thousands_of_sessions(tmp_path: Path) -> None:
    count = 500
    text = HEAD + "".join(
        session(f"s{n}", local=(10000 + 4 * n, 10002 + 4 * n), keys=(2 * n, 2 * n + 1)) for n in range(count)
    )
    assert len(load(tmp_path, text).sessions) == count


def test_the_documentation_tells_of_every_key() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "relay.md").read_text(encoding="utf-8")
    for name in (*GATEWAY_KEYS, *LEG_KEYS, *SECRET_KEYS):
        assert f"`{name}`" in text, name
