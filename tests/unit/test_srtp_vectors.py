"""Published vectors through srtpgw.srtp. Sources are named in tests/vectors/published.json, entry by entry."""

from __future__ import annotations

from typing import Any

import pytest
from model.suites import SUITES
from model.vectors import Vector, load, octets

from srtpgw.srtp import MasterKey, Receiver, Sender, SessionKeys, derive_session_keys

# What cannot go through the API, and why; each test below takes the rest.
SKIPPED = {
    "rfc6904-A": "encrypted header extensions are not supported",
    "rfc3711-B.1": "AES-f8 is not supported: no registered SDES suite",
}
# Blocks of a keystream that lie behind the end of the largest datagram: the kernels' own tests take them.
LAST_BLOCK = 65507 // 16
AES_CM_OF_LENGTH = {suite.key_length: name for name, suite in SUITES.items() if suite.cipher == "AES-CM"}


def usable(section: str) -> list[Vector]:
    return [entry for entry in load(section) if entry["id"] not in SKIPPED]


def ids(entry: Vector) -> str:
    return str(entry["id"])


def test_only_the_named_vectors_are_skipped() -> None:
    taken = {"kdf": "session_auth", "kdf_acvp": "srtp_key", "keystream": "blocks", "packets": "cipher"}
    unusable = {entry["id"] for section, needed in taken.items() for entry in load(section) if not entry.get(needed)}
    assert unusable == set(SKIPPED)
    assert {tag for entry in usable("packets") for tag in entry["tags"]} >= {"core", "mki", "null", "optional"}


@pytest.mark.parametrize("entry", usable("kdf"), ids=ids)
def test_key_derivation(entry: Vector) -> None:
    key, salt = octets(entry, "master_key"), octets(entry, "master_salt")
    derived = derive_session_keys(AES_CM_OF_LENGTH[len(key)], key, salt)
    assert derived.cipher == octets(entry, "session_key")
    assert derived.salt == octets(entry, "session_salt")
    assert len(derived.auth) == 20
    assert octets(entry, "session_auth").startswith(derived.auth)  # B.3 prints 94 octets of it


@pytest.mark.parametrize("kind", ["srtp", "srtcp"])
@pytest.mark.parametrize("entry", usable("kdf_acvp"), ids=ids)
def test_key_derivation_at_an_index(entry: Vector, kind: str) -> None:
    derived = derive_session_keys(
        "AES_CM_128_HMAC_SHA1_80", octets(entry, "master_key"), octets(entry, "master_salt"),
        index=int(entry["index" if kind == "srtp" else "srtcp_index"], 16), key_derivation_rate=entry["kdr"],
        rtcp=kind == "srtcp",
    )  # fmt: skip
    assert derived.cipher == octets(entry, f"{kind}_key")
    assert derived.auth == octets(entry, f"{kind}_auth")
    assert derived.salt == octets(entry, f"{kind}_salt")


@pytest.mark.parametrize("entry", usable("keystream"), ids=ids)
def test_keystream(entry: Vector) -> None:
    """A payload of zeros comes out as the keystream."""
    key, salt = octets(entry, "session_key"), octets(entry, "session_salt")
    keys = SessionKeys(key, salt, bytes(20))
    sender = Sender.from_session_keys(AES_CM_OF_LENGTH[len(key)], rtp=keys, rtcp=keys, roc=entry["roc"])
    header = b"\x80\x00" + entry["seq"].to_bytes(2, "big") + bytes(4) + bytes.fromhex(entry["ssrc"])
    stream = sender.protect(header + bytes(16 * LAST_BLOCK))[12:]
    blocks = {int(number): block for number, block in entry["blocks"].items()}
    within = {number: block for number, block in blocks.items() if number < LAST_BLOCK}
    assert sorted(within) == [0, 1, 2]
    assert {number: stream[16 * number : 16 * number + 16].hex() for number in within} == within


def contexts(entry: Vector) -> tuple[Sender, Receiver]:
    options: dict[str, Any] = {}
    if entry.get("unencrypted"):
        options = {"encrypt_rtp": False, "encrypt_rtcp": False}
    sending = options | {"srtcp_index": entry.get("srtcp_index", 0), "roc": entry.get("roc", 0)}
    if "session-keys" in entry["tags"]:
        keys = SessionKeys(octets(entry, "session_key"), octets(entry, "session_salt"), b"")
        sender = Sender.from_session_keys(entry["suite"], rtp=keys, rtcp=keys, **sending)
        return sender, Receiver.from_session_keys(entry["suite"], rtp=keys, rtcp=keys, **options)
    key = octets(entry, "master_key") + octets(entry, "master_salt")
    masters = [MasterKey(key, mki=octets(entry, "mki"))]
    return Sender(entry["suite"], masters, **sending), Receiver(entry["suite"], masters, **options)


@pytest.mark.parametrize("entry", usable("packets"), ids=ids)
def test_packet(entry: Vector) -> None:
    sender, receiver = contexts(entry)
    plain, wire = octets(entry, "plain"), octets(entry, "cipher")
    if entry["kind"] == "rtcp":
        assert sender.protect_rtcp(plain) == wire
        assert receiver.verify_rtcp(wire) == wire
        receiver = contexts(entry)[1]
        assert receiver.unprotect_rtcp(wire) == plain
    else:
        assert sender.protect(plain) == wire
        assert receiver.verify(wire) == wire
        receiver = contexts(entry)[1]
        assert receiver.unprotect(wire) == plain
