"""Sessions of a relay file in a real gateway: opened all or none, changed by differences, no index used twice."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest
from unit.relay.bench import FLAGS, Bench, Ends, one, rtp, two
from unit.relay_files import GOOD, HEAD, SUITE, free_ports, key, key_text

from srtpgw.errors import ConfigError, StateError
from srtpgw.media.gateway import SRTCP_SKIP, MediaGateway
from srtpgw.relay.sessions import SRTCP_KEEP, Changes
from srtpgw.srtp import Receiver, Sender


def test_media_passes_both_ways(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    receiver = Receiver(SUITE, [key(2)])
    for sequence in range(100, 110):
        assert receiver.unprotect(ends.from_trunk(sequence)) == rtp(sequence)
        assert ends.from_phone(sequence) == rtp(sequence)


def test_nothing_is_left_open_when_a_port_is_taken(bench: Bench, ports: list[int]) -> None:
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", ports[5] + 1))
    text = HEAD + one(ports) + two(ports)
    with holder, pytest.raises(ConfigError) as caught:
        bench.open(text)
    assert caught.value.key == "session[two].leg[2].local"
    assert "taken" in caught.value.reason
    assert bench.gateway.legs == []
    bench.relay.close()
    # Neither port nor key was used up.
    bench.open(text)
    assert len(bench.relay.legs) == 4


def test_a_port_of_the_range_is_never_one_that_the_file_names(tmp_path: Path) -> None:
    low = free_ports(1)[0]
    with closing(Bench(tmp_path)) as bench:
        bench.gateway.shutdown()
        bench.gateway = MediaGateway(workers=1, media_encryption=FLAGS, port_range=(low, low + 9))
        plain = '[[session]]\nname = "a"\n' + 2 * '[[session.leg]]\ntype = "route"\nremote = "127.0.0.1:9"\n'
        fixed = plain.replace('"a"', '"b"').replace("remote", f'local = "127.0.0.1:{low}"\nremote', 1)
        bench.open(plain + fixed)
        assert min(leg.local.port for leg in bench.relay.legs) == low
        assert len(bench.relay.legs) == 4


def test_an_unchanged_file_changes_nothing(bench: Bench, ports: list[int]) -> None:
    bench.open(HEAD + one(ports))
    legs = bench.relay.legs
    assert not bench.apply(HEAD + one(ports))
    assert bench.relay.legs == legs


def test_sessions_come_and_go_beside_one_that_stays(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    receiver = Receiver(SUITE, [key(2)])
    kept = bench.relay.legs
    wires = [ends.from_trunk(1)]
    assert bench.apply(HEAD + one(ports) + two(ports)) == Changes(added=["two"])
    wires.append(ends.from_trunk(2))
    assert bench.apply(HEAD + one(ports)) == Changes(removed=["two"])
    wires.append(ends.from_trunk(3))
    assert [receiver.unprotect(wire) for wire in wires] == [rtp(1), rtp(2), rtp(3)]
    assert bench.relay.legs == kept


def test_a_leg_changes_in_place(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    kept = bench.relay.legs
    assert bench.apply(HEAD + one(ports, plain="dscp = 0\nmedia-timeout = 3.0")) == Changes(changed=["one"])
    assert bench.apply(HEAD + one(ports, plain="hold = true")) == Changes(changed=["one"])
    assert bench.relay.legs == kept
    assert [leg.settings.hold for leg in kept] == [False, True]
    assert [leg.settings.dscp for leg in kept] == [46, 46]
    moved = HEAD + one(ports).replace(f'remote = "127.0.0.1:{ports[3]}"', f'remote = "127.0.0.1:{ports[6]}"')
    elsewhere = ends.socket(ports[6])
    assert bench.apply(moved) == Changes(changed=["one"])
    ends.phone.sendto(ends.sender.protect(rtp(7)), ("127.0.0.1", ports[0]))
    assert elsewhere.recv(2048) == rtp(7)
    elsewhere.close()


def test_what_cannot_change_in_place_is_opened_again(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    receiver = Receiver(SUITE, [key(2)])
    assert receiver.unprotect(ends.from_trunk(5)) == rtp(5)
    assert bench.apply(HEAD + one(ports, encrypted="max-ssrcs = 3")) == Changes(reopened=["one"])
    # The same source goes on under the same SSRC and index.
    assert receiver.unprotect(ends.from_trunk(6)) == rtp(6)


def test_a_session_renamed_keeps_its_ports_and_its_place_in_the_keystream(
    bench: Bench, ports: list[int], ends: Ends
) -> None:
    bench.open(HEAD + one(ports))
    first = ends.from_trunk(5)
    assert bench.apply(HEAD + one(ports, name="uno")) == Changes(added=["uno"], removed=["one"])
    second = ends.from_trunk(6)
    assert first[8:12] == second[8:12] == rtp(0)[8:12]
    assert bench.names() == ["uno/1", "uno/2"]


def test_new_keys_both_ways_come_in_while_media_flows(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    ends.from_trunk(5)
    legs = bench.relay.legs
    assert bench.apply(HEAD + one(ports, keys=(11, 12))) == Changes(changed=["one"])
    assert bench.relay.legs == legs
    assert Receiver(SUITE, [key(12)]).unprotect(ends.from_trunk(6)) == rtp(6)
    # Back again: the old key was used, and nobody saw its last packet.
    assert bench.apply(HEAD + one(ports)) == Changes(reopened=["one"])
    assert ends.from_trunk(5)[8:12] != rtp(5)[8:12]


@pytest.mark.parametrize("keys", [(11, 2), (1, 12)])
def test_a_new_key_may_come_one_way(bench: Bench, ports: list[int], ends: Ends, keys: tuple[int, int]) -> None:
    bench.open(HEAD + one(ports))
    ends.from_trunk(1)
    assert bench.apply(HEAD + one(ports, keys=keys)) == Changes(changed=["one"])
    assert Receiver(SUITE, [key(keys[1])]).unprotect(ends.from_trunk(2)) == rtp(2)
    ends.sender = Sender(SUITE, [key(keys[0])])
    assert ends.from_phone(1) == rtp(1)


def test_keys_may_change_places(bench: Bench, ports: list[int]) -> None:
    bench.open(HEAD + one(ports) + two(ports))
    changes = bench.apply(HEAD + one(ports, keys=(3, 4)) + two(ports, keys=(1, 2)))
    assert changes == Changes(reopened=["one", "two"])


def test_an_added_session_that_cannot_open_leaves_everything_as_it_was(bench: Bench, ports: list[int]) -> None:
    bench.open(HEAD + one(ports))
    legs = bench.relay.legs
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", ports[4]))
    with holder, pytest.raises(ConfigError, match="taken"):
        bench.apply(HEAD + one(ports, plain="hold = true") + two(ports))
    assert bench.relay.legs == legs
    assert not any(leg.settings.hold for leg in legs)
    assert bench.apply(HEAD + one(ports) + two(ports)) == Changes(added=["two"])


def test_after_an_orderly_stop_a_source_goes_on(bench: Bench, ports: list[int], ends: Ends) -> None:
    receiver = Receiver(SUITE, [key(2)])
    for sequence in (65534, 65535, 0, 1, 2):  # over a rollover
        bench.open(HEAD + one(ports))
        assert receiver.unprotect(ends.from_trunk(sequence)) == rtp(sequence)
        bench.relay.close()


def test_after_a_crash_no_index_comes_back(bench: Bench, ports: list[int], ends: Ends) -> None:
    seen: set[bytes] = set()
    for payload in (b"first", b"second", b"third", b"fourth"):
        bench.open(HEAD + one(ports))
        receiver = Receiver(SUITE, [key(2)])
        for sequence in range(5):
            wire = ends.from_trunk(sequence, payload)
            assert receiver.unprotect(wire)[12:] == payload
            index = wire[2:4] + wire[8:12]
            assert index not in seen
            seen.add(index)
        # What a killed process leaves behind: nothing but what is on disk.
        states = bench.relay._states
        assert states is not None
        states.close()
        bench.restart()


def test_srtcp_indices_do_not_come_back_after_one_crash_upon_another(
    bench: Bench, ports: list[int], ends: Ends
) -> None:
    phone, trunk = ends.socket(ports[2] + 1), ends.socket(ports[3] + 1)
    seen: set[bytes] = set()
    with phone, trunk:
        for _ in range(4):
            bench.open(HEAD + one(ports))
            for _ in range(3):
                trunk.sendto(b"\x80\xc9\0\1SSRC", ("127.0.0.1", ports[1] + 1))
                wire = phone.recv(2048)
                index = wire[4:8] + wire[-14:-10]
                assert index not in seen
                seen.add(index)
            # Killed before anything was kept of this run.
            states = bench.relay._states
            assert states is not None
            states.close()
            bench.restart()


def test_sources_are_kept_as_they_come(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    state = bench.base / "relay.toml.state"
    before = state.read_bytes()
    bench.relay.keep_states()
    ends.from_trunk(1)
    bench.relay.keep_states()
    after = state.read_bytes()
    assert after != before
    ends.from_trunk(2)
    bench.relay.keep_states()
    assert state.read_bytes() == after  # the same source: nothing new to know


def test_srtcp_is_kept_before_it_passes_what_a_crash_skips(
    bench: Bench, ports: list[int], ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SRTCP_KEEP * 2 < SRTCP_SKIP
    monkeypatch.setattr("srtpgw.relay.sessions.SRTCP_KEEP", 4)
    bench.open(HEAD + one(ports))
    state = bench.base / "relay.toml.state"
    kept = {state.read_bytes()}
    phone, trunk = ends.socket(ports[2] + 1), ends.socket(ports[3] + 1)
    with phone, trunk:
        for _ in range(16):
            trunk.sendto(b"\x80\xc9\0\1SSRC", ("127.0.0.1", ports[1] + 1))
            phone.recv(2048)
            bench.relay.keep_states()
            kept.add(state.read_bytes())
    assert 4 <= len(kept) <= 7


def test_plain_and_forwarding_sessions_need_no_state(bench: Bench, ports: list[int]) -> None:
    crossed = one(ports).replace(
        'type = "route"',
        f'type = "extension"\nsuite = "{SUITE}"\nreceive-key = "{key_text(2)}"\ntransmit-key = "{key_text(1)}"',
    )
    bench.open(HEAD + crossed)
    assert not (bench.base / "relay.toml.state").exists()


def test_a_used_key_without_its_state_is_refused_by_its_place(bench: Bench, ports: list[int]) -> None:
    bench.open(HEAD + one(ports))
    bench.relay.close()
    (bench.base / "relay.toml.state").unlink()
    with pytest.raises(StateError) as caught:
        bench.open(HEAD + one(ports))
    assert caught.value.key == "session[one].leg[1].transmit-key"
    assert bench.gateway.legs == []


def test_a_used_key_cannot_go_on_under_another_suite(bench: Bench, ports: list[int], ends: Ends) -> None:
    bench.open(HEAD + one(ports))
    ends.from_trunk(1)
    bench.relay.close()
    with pytest.raises(ConfigError, match="take a new key"):
        bench.open(HEAD + one(ports).replace(SUITE, "AES_CM_128_HMAC_SHA1_32"))
    bench.relay.close()
    bench.open(HEAD + one(ports))
    assert ends.from_trunk(2)[8:12] == rtp(2)[8:12]


def test_libsrtp_cannot_take_up_indices_so_a_key_is_good_for_one_run(tmp_path: Path, ports: list[int]) -> None:
    with closing(Bench(tmp_path, keeps_state=False)) as bench:
        bench.open(HEAD + one(ports))
        bench.relay.close()
        with pytest.raises(StateError, match="libsrtp"):
            bench.open(HEAD + one(ports))
        bench.relay.close()
        bench.allow_reuse = True
        bench.restart()
        bench.open(HEAD + one(ports))


def test_the_documented_file_opens(bench: Bench) -> None:
    low = free_ports(2)
    text = GOOD.replace("20000", str(low[0])).replace("20002", str(low[1]))
    bench.open(text)
    assert bench.names() == ["phone-to-trunk/1", "phone-to-trunk/2"]
