"""The test signal: it sounds like a voice, needs no file and is the same in every run.

A frame is a pure function of its number, so the far end, or a test, can make the reference again at any time. Like
speech it has a pitch that glides, formants and syllables; two voices of different pitch do not correlate.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from functools import cached_property

SAMPLE_RATE = 8000
FRAME_SAMPLES = 160
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE

_TABLE_SIZE = 4096  # a power of two: the phase wraps by a mask
_PEAK = 12000  # of 32767: room above, so that no codec clips
_GLIDE_RATE = 0.7  # Hz
_GLIDE_DEPTH = 0.08  # of the pitch
_FORMANT_WIDTH = 120.0  # Hz
_VOICE_BAND = 3400.0  # Hz; no harmonic above, so nothing aliases


@dataclass(frozen=True)
class Voice:
    """A speaker: pitch in Hz, formants in Hz, syllables per second."""

    pitch: float
    formants: tuple[float, ...]
    syllables: float

    @cached_property
    def _table(self) -> array[int]:
        """One period of the voiced sound, scaled to ``_PEAK``."""
        count = int(_VOICE_BAND / (self.pitch * (1 + _GLIDE_DEPTH)))
        # Phases after Schroeder: with equal ones the sum would be one sharp pulse, loud nowhere else.
        harmonics = [
            (number, self._strength(number * self.pitch), -math.pi * number * (number - 1) / count)
            for number in range(1, count + 1)
        ]
        step = 2 * math.pi / _TABLE_SIZE
        period = [
            sum(level * math.sin(number * step * place + phase) for number, level, phase in harmonics)
            for place in range(_TABLE_SIZE)
        ]
        scale = _PEAK / max(abs(value) for value in period)
        return array("h", [round(value * scale) for value in period])

    def _strength(self, frequency: float) -> float:
        return sum(1 / (1 + ((frequency - formant) / _FORMANT_WIDTH) ** 2) for formant in self.formants)

    def frame(self, number: int) -> array[int]:
        """20 ms of 16-bit samples, 8 kHz, mono: the frame with this number (from 0)."""
        table = self._table
        # The integral of pitch * (1 + depth * cos(2 pi glide t)), in periods: continuous over frames without a state.
        swing = self.pitch * _GLIDE_DEPTH / (2 * math.pi * _GLIDE_RATE)
        glide = 2 * math.pi * _GLIDE_RATE
        syllable = math.pi * self.syllables
        samples = array("h", bytes(2 * FRAME_SAMPLES))
        for place in range(FRAME_SAMPLES):
            time = (number * FRAME_SAMPLES + place) / SAMPLE_RATE
            phase = self.pitch * time + swing * math.sin(glide * time)
            loudness = 0.15 + 0.85 * math.sin(syllable * time) ** 2
            samples[place] = int(loudness * table[int(phase * _TABLE_SIZE) & (_TABLE_SIZE - 1)])
        return samples


LOW_VOICE = Voice(pitch=113.0, formants=(610.0, 1190.0, 2480.0), syllables=3.7)
HIGH_VOICE = Voice(pitch=211.0, formants=(460.0, 1750.0, 2790.0), syllables=4.3)
