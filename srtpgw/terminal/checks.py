"""What must hold of two terminals that talked to each other, whatever was between them."""

from __future__ import annotations

from dataclasses import dataclass

from srtpgw.terminal.comparison import compare_audio, compare_wire, decoded, spoken
from srtpgw.terminal.packets import parse_media
from srtpgw.terminal.terminal import Terminal

CHANCE = 1 / 256  # of two unrelated octets being equal
CHANCE_LIMIT = 4 * CHANCE  # far beyond what chance makes of thousands of octets, far below any plain share
SPEECH_SNR = 30.0  # dB; G.711 keeps about 38 of the test signal


@dataclass(frozen=True)
class Check:
    """One thing that must hold, whether it does, and the figures."""

    name: str
    passed: bool
    detail: str


def heard_all(speaker: Terminal, listener: Terminal) -> bool:
    """Whether as much media and as many reports have arrived as were sent."""
    said, heard = speaker.counters, listener.counters
    return heard.received >= said.sent and heard.reports_received >= said.reports_sent


def intrusions(speaker: Terminal, listener: Terminal) -> int:
    """Datagrams at the listener that are no first copy of something the speaker said."""
    said = speaker.sent
    genuine = sum(frame.payload == said.payload(frame.sequence & 0xFFFF) for frame in listener.heard.track(said.ssrc))
    return listener.counters.received + listener.counters.refused - genuine


def captured(speaker: Terminal, listener: Terminal) -> list[bytes]:
    """The speaker's wire as far as the listener has heard it: a copy of a packet still on its way is no replay."""
    heard = listener.heard.track(speaker.ssrc)
    return [wire for wire in speaker.sent_wire if heard.payload(parse_media(wire).sequence) is not None]


def check_audio(speaker: Terminal, listener: Terminal) -> Check:
    """The listener's samples are those the speaker sent, and close (the SNR) to the voice before it was coded."""
    heard = listener.heard.track(speaker.ssrc)
    coded = compare_audio(decoded(speaker.sent, speaker.codec), heard, listener.codec)
    voice = compare_audio(spoken(speaker.sent, speaker.settings.voice), heard, listener.codec)
    snr = voice.snr_db or 0.0
    return Check(
        f"audio, {speaker.settings.name} to {listener.settings.name}",
        coded.exact and snr > SPEECH_SNR,
        f"{coded.equal} of {coded.samples} samples as sent, SNR {snr:.1f} dB",
    )


def check_packets(speaker: Terminal, listener: Terminal) -> Check:
    """Nothing lost, doubled or unreadable."""
    said, heard = speaker.counters, listener.counters
    complete = heard.received == said.sent > 0 and heard.reports_received == said.reports_sent
    return Check(
        f"packets, {speaker.settings.name} to {listener.settings.name}",
        complete and not heard.lost and not heard.refused,
        f"{heard.received} of {said.sent} RTP, {heard.reports_received} of {said.reports_sent} RTCP; "
        f"{heard.lost} lost, {heard.refused} refused",
    )


def check_wire(speaker: Terminal, listener: Terminal) -> Check:
    """What reached an encrypted listener is, on the wire, not what the speaker said."""
    wire = compare_wire(listener.heard_wire, speaker.sent)
    return Check(
        f"wire at the {listener.settings.name}",
        wire.packets == speaker.counters.sent > 0 and not wire.identical and wire.share < CHANCE_LIMIT,
        f"{wire.share:.2%} of {wire.octets} octets as sent (chance: {CHANCE:.2%})",
    )
