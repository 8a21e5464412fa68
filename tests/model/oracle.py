"""libsrtp as the independent implementation: one context driven from Python through its C functions."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Literal

from srtpgw import libsrtp

ROOM = 4 + 16 + 128  # E and index, the longest tag, the longest MKI
STATUS = {7: "auth-failed", 9: "replay", 10: "too-old", 15: "tx-key-expired", 25: "unknown-mki"}

_Plain = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
_ProtectMki = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_uint, ctypes.c_uint
)
_UnprotectMki = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_uint
)
_SetRoc = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
_GetRoc = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))


class Refused(Exception):
    """libsrtp returned a status other than ok; args[0] is our name for it, or the number."""


class Oracle:
    """Same calls as Sender and Receiver: bytes in, bytes out."""

    def __init__(
        self,
        suite: str,
        keys: Sequence[tuple[bytes, bytes]],
        direction: Literal["sender", "receiver"],
        *,
        ssrc: int | None = None,
        roc: int = 0,
        window: int = 1024,
        encrypt_rtp: bool = True,
        encrypt_rtcp: bool = True,
        authenticate_rtp: bool = True,
        unchecked: bool = False,
    ) -> None:
        """`unchecked` opens a suite that srtpgw.libsrtp would not: AES-192 with its wrong key derivation."""
        parameters = libsrtp._Parameters(direction, ssrc, window, encrypt_rtp, encrypt_rtcp, authenticate_rtp)
        if unchecked:
            self._context = libsrtp._open(suite, keys, parameters)
        else:
            self._context = libsrtp.create(suite, keys, **parameters._asdict())
        self._functions = libsrtp.functions()
        if roc:
            assert ssrc is not None
            self.set_rollover_counter(ssrc, roc)

    def protect(self, packet: bytes) -> bytes:
        return self._run("srtp_protect", packet)

    def unprotect(self, packet: bytes) -> bytes:
        return self._run("srtp_unprotect", packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._run("srtp_protect_rtcp", packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        return self._run("srtp_unprotect_rtcp", packet)

    def set_rollover_counter(self, ssrc: int, roc: int) -> None:
        code = _SetRoc(self._functions["srtp_set_stream_roc"])(self._context.address, ssrc, roc)
        if code:
            raise Refused(str(code))

    def rollover_counter(self, ssrc: int) -> int:
        value = ctypes.c_uint32()
        code = _GetRoc(self._functions["srtp_get_stream_roc"])(self._context.address, ssrc, ctypes.byref(value))
        if code:
            raise Refused(str(code))
        return value.value

    def _run(self, name: str, packet: bytes) -> bytes:
        # malloc alignment: libsrtp reads the header as 32-bit words
        buffer = ctypes.create_string_buffer(packet, len(packet) + ROOM)
        length = ctypes.c_int(len(packet))
        address = self._context.address
        if not self._context.uses_mki:
            code = _Plain(self._functions[name])(address, buffer, ctypes.byref(length))
        elif "unprotect" in name:
            code = _UnprotectMki(self._functions[name + "_mki"])(address, buffer, ctypes.byref(length), 1)
        else:
            code = _ProtectMki(self._functions[name + "_mki"])(address, buffer, ctypes.byref(length), 1, 0)
        if code:
            raise Refused(STATUS.get(code, str(code)))
        return buffer.raw[: length.value]
