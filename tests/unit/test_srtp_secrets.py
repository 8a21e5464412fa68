"""Keys stay where they belong: not in text, not in pickles, not in exported state, not in a forked child."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import pickle
import subprocess
import traceback
from array import array
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from model import packet
from model.child import command, environment
from model.compare import outcome
from model.keys import session_keys
from model.suites import SUITES

from srtpgw import srtp
from srtpgw.srtp import MasterKey, Receiver, Sender, SessionKeys, SrtpError

SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes.fromhex("c3a5d5e0f1b70a913c44e8029dbe6f7712345f8e9ad1b0c2e3f4a5b6c7d8")
DERIVED = [
    part for rtcp in (False, True) for part in session_keys(SUITES[SUITE], KEY[:16], KEY[16:], rtcp=rtcp) if part
]
SECRETS = [KEY[:16], KEY[16:], *DERIVED]


def forms(secret: bytes) -> list[str]:
    """A key as text might show it: as hex, base64, repr, list; any eight octets of it are too many."""
    import base64

    head = secret[:8]
    return [head.hex(), head.hex(":"), base64.b64encode(head)[:10].decode(), repr(head)[2:-1], str(list(head))[1:-1]]


def assert_clean(text: str) -> None:
    found = [form for secret in SECRETS for form in forms(secret) if form.lower() in text.lower()]
    assert not found


def test_the_search_finds_what_it_looks_for() -> None:
    for text in (KEY.hex(), repr(KEY), str(list(KEY))):
        with pytest.raises(AssertionError):
            assert_clean(text)


HOLDERS: list[Callable[[], Any]] = [
    lambda: MasterKey(KEY, mki=b"\x01", lifetime=5),
    lambda: SessionKeys(KEY[:16], KEY[16:], DERIVED[2]),
    lambda: Sender(SUITE, KEY),
    lambda: Receiver(SUITE, KEY),
    lambda: Sender(SUITE, KEY, provider="libsrtp"),
    lambda: Sender.from_session_keys(SUITE, rtp=SessionKeys(*DERIVED[:3]), rtcp=SessionKeys(*DERIVED[3:])),
]


@pytest.mark.parametrize("make", HOLDERS)
def test_text_shows_no_key(make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    holder = make()
    for text in (repr(holder), str(holder), f"{holder}", f"{[holder]!r}", f"{(holder,)}", repr({"key": holder})):
        assert_clean(text)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%s %r", holder, holder)
    assert_clean(caplog.text)


@pytest.mark.parametrize("make", HOLDERS)
def test_no_copies(make: Callable[[], Any]) -> None:
    """A pickle is a key on a disk; a copied sender is a second one at the same index."""
    holder = make()
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            duplicate(holder)
        assert_clean(str(caught.value))


FAULTS: list[Callable[[], Any]] = [
    lambda: Sender(SUITE, KEY + b"x"),
    lambda: Sender("AEAD_AES_128_GCM", KEY),
    lambda: Sender(SUITE, [MasterKey(KEY), MasterKey(KEY)]),
    lambda: Sender(SUITE, MasterKey(KEY, lifetime=-1)),
    lambda: Sender(SUITE, MasterKey(KEY, mki="text")),  # type: ignore[arg-type]
    lambda: Sender(SUITE, MasterKey(KEY.hex()[:30])),  # type: ignore[arg-type]
    lambda: Sender(SUITE, KEY, window=1),
    lambda: Sender.from_session_keys(SUITE, rtp=SessionKeys(KEY, KEY), rtcp=SessionKeys(KEY, KEY)),
    lambda: srtp.derive_session_keys(SUITE, KEY, KEY),
    lambda: Receiver(SUITE, KEY).unprotect(Sender(SUITE, KEY[::-1]).protect(packet.rtp(1, 1))),
    lambda: Receiver(SUITE, KEY).restore_state(KEY),
    lambda: Sender(SUITE, KEY).protect(None),  # type: ignore[arg-type]
    lambda: Sender(SUITE, MasterKey(KEY, foreign=True)).protect(packet.rtp(1, 1)),
]


@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
def test_errors_show_no_key(fault: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError, SrtpError)) as caught:
        fault()
    error: BaseException | None = caught.value
    while error is not None:
        assert_clean(repr(error) + str(error) + repr(error.args) + "".join(traceback.format_exception(error)))
        error = error.__context__


def test_srtp_errors_can_be_sent_to_another_process() -> None:
    with pytest.raises(SrtpError) as caught:
        Receiver(SUITE, KEY).unprotect(b"")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own octets
    assert (type(again), again.reason, str(again)) == (type(caught.value), "too-short", str(caught.value))


def test_a_master_key_cannot_be_changed() -> None:
    key = MasterKey(KEY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        key.key_and_salt = bytes(30)  # type: ignore[misc]


@pytest.mark.parametrize("window", [1024, 2048])
def test_exported_state_holds_no_key(window: int) -> None:
    sender, receiver = Sender(SUITE, KEY, window=window), Receiver(SUITE, KEY, window=window)
    for seq in range(10):
        receiver.unprotect(sender.protect(packet.rtp(seq, 1)))
    for state in (sender.export_state(), receiver.export_state()):
        assert not [secret for secret in SECRETS for at in range(len(secret) - 7) if secret[at : at + 8] in state]


HOLDER = """
import sys
from srtpgw.srtp import Receiver, Sender
suite, key = sys.argv[1], sys.stdin.readline()
contexts = [kind(suite, bytes.fromhex(key)) for kind in (Sender, Receiver)]
packet = b"\\x80\\0\\0\\1" + bytes(40)
contexts[1].unprotect(contexts[0].protect(packet))
contexts[1].unprotect_rtcp(contexts[0].protect_rtcp(b"\\x80\\xc8\\0\\1" + bytes(4)))
print("open", flush=True)
sys.stdin.readline()
contexts.clear()
print("closed", flush=True)
sys.stdin.readline()
"""


def resident(pid: int) -> Iterator[bytes]:
    """The memory of a process, as far as it is there: runs of pages of its writable mappings."""
    page = os.sysconf("SC_PAGE_SIZE")
    with (
        Path(f"/proc/{pid}/maps").open() as maps,
        Path(f"/proc/{pid}/pagemap").open("rb") as pagemap,
        Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory,
    ):
        for line in maps:
            span, access, *_ = line.split()
            first, last = (int(number, 16) // page for number in span.split("-"))
            if "w" not in access:
                continue
            pagemap.seek(8 * first)
            present = array("Q", pagemap.read(8 * (last - first)))
            for is_there, run in groupby(enumerate(present, first), lambda entry: entry[1] >> 62 != 0):
                pages = [number for number, _ in run]
                if is_there:
                    memory.seek(pages[0] * page)
                    yield memory.read(len(pages) * page)


@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer maps terabytes, and keeps copies"
)
@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_keys_are_wiped_with_their_context(suite: str) -> None:
    """The session keys are made natively only, so another process's memory tells whether they are gone."""
    form = SUITES[suite]
    key = os.urandom(form.key_length + form.salt_length)
    session = [session_keys(form, key[: form.key_length], key[form.key_length :], rtcp=rtcp) for rtcp in (False, True)]
    with subprocess.Popen(
        command("-c", HOLDER, suite), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdin
        assert child.stdout
        counts = []
        try:
            for said, line in (("open", key.hex()), ("closed", "")):
                print(line, file=child.stdin, flush=True)
                assert child.stdout.readline() == f"{said}\n"
                memory = list(resident(child.pid))
                counts.append([sum(octets.count(keys.cipher) for octets in memory) for keys in session])
        except PermissionError as error:
            pytest.skip(f"the memory of a child process cannot be read here: {error}")
        finally:
            child.kill()
    assert all(count >= 2 for count in counts[0])  # a sender's and a receiver's
    assert counts[1] == [0, 0]


def in_child(report: Callable[[], str]) -> str:
    """What a forked child of this process has to say."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = report()
        except BaseException as error:  # noqa: BLE001 - all that happens is reported
            text = repr(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    return text


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_keys() -> None:
    """Two processes at one index would reuse keystream. The parent goes on; the child may open contexts of its own."""
    sender, receiver = Sender(SUITE, KEY), Receiver(SUITE, KEY)
    wire = sender.protect(packet.rtp(1, 1))

    def report() -> str:
        single = [
            outcome(sender.protect, packet.rtp(2, 1)),
            outcome(sender.protect_rtcp, packet.rtcp(1)),
            outcome(receiver.unprotect, wire),
        ]
        many = [*srtp.protect_many([(sender, packet.rtp(2, 1))]), *srtp.unprotect_many([(receiver, wire)])]
        own = Sender(SUITE, KEY[::-1]).protect(packet.rtp(2, 1))
        after = outcome(sender.protect, packet.rtp(2, 1))  # not with the new context's key
        good = Receiver(SUITE, KEY[::-1]).unprotect(own) == packet.rtp(2, 1)
        reasons = [error.reason for error in many if isinstance(error, SrtpError)]
        return f"{single} {reasons} {after!r} {good}"

    expected = "['no-key', 'no-key', 'no-key'] ['no-key', 'no-key'] 'no-key' True"
    assert in_child(report) == expected
    assert receiver.unprotect(wire) == packet.rtp(1, 1)
    assert receiver.unprotect(sender.protect(packet.rtp(2, 1))) == packet.rtp(2, 1)
    assert in_child(lambda: str(outcome(Sender.protect, sender, packet.rtp(3, 1)))) == "no-key"
