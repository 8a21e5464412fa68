"""What one leg may be, by itself and under the flag of its type."""

from __future__ import annotations

from typing import Any

import pytest
from unit.relay_files import SUITE, key

from srtpgw.address import Address
from srtpgw.errors import KeyReuse, MediaError, PolicyRefused
from srtpgw.media.leg import LegSettings

LOCAL = Address("127.0.0.1", 20000)
REMOTE = Address("127.0.0.1", 30000)
SECURE: dict[str, Any] = {"suite": SUITE, "receive_keys": (key(1),), "transmit_keys": (key(2),)}


def leg(**changes: Any) -> LegSettings:
    return LegSettings(**{"type": "extension", "local": LOCAL, "remote": REMOTE, **changes})


def test_defaults() -> None:
    plain, secure = leg(), leg(**SECURE)
    assert plain.source_rule == "strict"
    assert secure.source_rule == "authenticated"
    assert (plain.encrypted, secure.encrypted) == (False, True)
    assert secure.sending_suite == SUITE
    assert plain.local_rtcp == Address("127.0.0.1", 20001)
    assert plain.rtcp_target == Address("127.0.0.1", 30001)
    assert leg(rtcp_mux=True).local_rtcp == LOCAL
    assert leg(rtcp_mux=True).rtcp_target == REMOTE
    assert leg(remote_rtcp=Address("127.0.0.1", 4)).rtcp_target == Address("127.0.0.1", 4)
    assert LegSettings(type="route").local_rtcp is None
    assert LegSettings(type="route", family=6).address_family == 6
    assert not plain.faults()
    assert not secure.faults()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "trunk"}, "type"),
        ({"family": 5}, "family"),
        ({"local": Address("127.0.0.1", 0)}, "local"),
        ({"local": Address("127.0.0.1", 65535)}, "local"),
        ({"local": Address("224.0.0.1", 20000)}, "local"),
        ({"remote": Address("127.0.0.1", 65535)}, "remote"),
        ({"remote": Address("0.0.0.0", 30000)}, "remote"),  # noqa: S104 - refused, not bound
        ({"remote": Address("255.255.255.255", 30000)}, "remote"),
        ({"remote": Address("::1", 30000)}, "remote"),
        ({"remote": LOCAL}, "remote"),
        ({"remote": LOCAL.next_port}, "remote"),
        ({"remote_rtcp": Address("::1", 30001)}, "remote_rtcp"),
        ({"remote_rtcp": Address("127.0.0.1", 70000)}, "remote_rtcp"),
        ({"remote": None, "remote_rtcp": REMOTE}, "remote_rtcp"),
        ({"rtcp_mux": True, "remote_rtcp": REMOTE.next_port}, "remote_rtcp"),
        ({"source": "nobody"}, "source"),
        ({"source": "authenticated"}, "source"),
        ({**SECURE, "source": "learn-once"}, "source"),
        ({"suite": SUITE}, "suite"),
        ({"transmit_suite": SUITE}, "transmit_suite"),
        ({"sending_state": b"x"}, "sending_state"),
        ({"roc_hints": (1,)}, "roc_hints"),
        ({**SECURE, "suite": None}, "suite"),
        ({**SECURE, "suite": "NULL_HMAC_SHA1_80"}, "suite"),
        ({**SECURE, "suite": "AEAD_AES_128_GCM"}, "receive_keys"),
        ({**SECURE, "transmit_suite": "AEAD_AES_128_GCM"}, "transmit_keys"),
        ({**SECURE, "transmit_suite": "rot13"}, "transmit_suite"),
        ({**SECURE, "transmit_keys": ()}, "transmit_keys"),
        ({**SECURE, "receive_keys": ()}, "receive_keys"),
        ({**SECURE, "transmit_keys": (key(1),)}, "transmit_keys"),
        ({"window": 63}, "window"),
        ({"window": 32768}, "window"),
        ({"max_ssrcs": 0}, "max_ssrcs"),
        ({"dscp": 64}, "dscp"),
        ({"media_timeout": -1.0}, "media_timeout"),
        ({"media_timeout": float("nan")}, "media_timeout"),
        ({"clock_rate": -1}, "clock_rate"),
        ({**SECURE, "roc_hints": (1 << 32,)}, "roc_hints"),
        ({**SECURE, "roc_hints": tuple(range(9))}, "roc_hints"),
        ({"name": "a\nb"}, "name"),
        ({"rename_sources": "some"}, "rename_sources"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], field: str) -> None:
    faults = leg(**changes).faults()
    assert field in {fault.field for fault in faults}
    with pytest.raises(MediaError, match=field):
        leg(**changes).check({"extension": bool(changes.get("receive_keys") or changes.get("transmit_keys"))})


def test_one_port_may_serve_both_up_to_the_last() -> None:
    assert not leg(rtcp_mux=True, local=Address("127.0.0.1", 65535)).faults()


def test_the_flag_of_the_type_decides() -> None:
    leg().check({"extension": False, "route": True})
    leg(**SECURE).check({"extension": True})
    with pytest.raises(PolicyRefused, match="off for extension"):
        leg(**SECURE).check({"route": True})
    with pytest.raises(PolicyRefused, match="on for extension"):
        leg().check({"extension": True})


def test_one_key_both_ways_is_key_reuse() -> None:
    with pytest.raises(KeyReuse):
        leg(**{**SECURE, "transmit_keys": (key(1),)}).check({"extension": True})


def test_no_repr_shows_a_key_or_a_state() -> None:
    shown = repr(leg(**SECURE, sending_state=b"state octets"))
    assert "state octets" not in shown
    assert repr(key(1).key_and_salt)[2:10] not in shown
