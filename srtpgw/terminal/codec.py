"""G.711 by aiortc (PyAV underneath), 20 ms a packet. RFC 3551, section 4.5.14."""

from __future__ import annotations

from array import array
from fractions import Fraction
from typing import TYPE_CHECKING

from srtpgw.terminal.voice import FRAME_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    from aiortc.codecs.base import Decoder, Encoder

PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8}  # RFC 3551, table 4


class AudioCodec:
    """One direction's encoder and decoder. ``name`` is "PCMU" or "PCMA".

    Raises ValueError for another name.
    """

    def __init__(self, name: str) -> None:
        if name not in PAYLOAD_TYPES:
            raise ValueError(f"codec {name!r} is not one of {', '.join(PAYLOAD_TYPES)}")
        # Here, not above: loading aiortc takes 0.2 s and maps a hundred megabytes of libraries.
        from aiortc.codecs import g711

        self.name = name
        self.payload_type = PAYLOAD_TYPES[name]
        self._encoder: Encoder = g711.PcmuEncoder() if name == "PCMU" else g711.PcmaEncoder()
        self._decoder: Decoder = g711.PcmuDecoder() if name == "PCMU" else g711.PcmaDecoder()
        self._encoded_samples = 0

    def encode(self, samples: array[int]) -> bytes:
        """One frame of ``FRAME_SAMPLES`` 16-bit samples into one payload. Raises ValueError for another size."""
        from av import AudioFrame

        if len(samples) != FRAME_SAMPLES:
            raise ValueError(f"a frame has {FRAME_SAMPLES} samples, not {len(samples)}")
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = self._encoded_samples
        frame.planes[0].update(samples.tobytes())
        self._encoded_samples += FRAME_SAMPLES
        payloads, _ = self._encoder.encode(frame)
        return b"".join(payloads)

    def decode(self, payload: bytes) -> array[int]:
        """The 16-bit samples of one payload, one sample an octet: G.711 keeps no state between packets."""
        from aiortc.jitterbuffer import JitterFrame
        from av import AudioFrame

        samples = array("h")
        if payload:
            for frame in self._decoder.decode(JitterFrame(data=payload, timestamp=0)):
                assert isinstance(frame, AudioFrame)
                samples.frombytes(bytes(frame.planes[0])[: 2 * frame.samples])
        return samples
