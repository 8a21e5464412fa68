"""The built-in test terminal: a small softphone without signaling.

It speaks RTP and RTCP with G.711 audio, in clear or as SRTP, and records what it hears. It shares no code with the
engine under test: packets and codecs are aiortc's, SRTP is libsrtp's by way of pylibsrtp. Importing this package
loads neither; they come in with the first :class:`srtpgw.terminal.terminal.Terminal`.

========== =====================================================
voice      the test signal, a pure function of the frame number
codec      PCMU and PCMA
packets    RTP packets and RTCP sender reports
protection SRTP and SRTCP
recording  packets in order, and what is missing
comparison what was heard against what was sent
transport  a UDP socket on asyncio
terminal   all of these together, paced on the loop's clock
checks     what must hold of two terminals that talked
attacker   packets that a gateway must not pass on
========== =====================================================
"""
