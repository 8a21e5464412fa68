"""The libsrtp inside the pylibsrtp wheel, as a second SRTP provider.

pylibsrtp links libsrtp into its extension module. That file exports libsrtp's own functions too, which reach
further than pylibsrtp's API: AES-192 and AES-256, NULL, MKI and the rollover counter. They are looked up in the file
that is already loaded (RTLD_NOLOAD: never a second copy, whose library state would be another one). This is a
property of the wheel, so each function is checked, and `status` says what is missing.

A context made here is a plain `srtp_t`: one thread at a time may use it, and it lives as long as its owner object.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
from collections.abc import Sequence
from functools import cache
from os import RTLD_NOLOAD, RTLD_NOW
from typing import Any, Literal, NamedTuple

from pylibsrtp import _binding

from .errors import LibsrtpError

Direction = Literal["sender", "receiver"]

# What the packet loop calls, without the GIL. srtp_get/set_stream_roc take the SSRC in host order.
PACKET_FUNCTIONS = (
    "srtp_protect",
    "srtp_unprotect",
    "srtp_protect_rtcp",
    "srtp_unprotect_rtcp",
    "srtp_protect_mki",
    "srtp_unprotect_mki",
    "srtp_protect_rtcp_mki",
    "srtp_unprotect_rtcp_mki",
    "srtp_get_stream_roc",
    "srtp_set_stream_roc",
)
SETUP_FUNCTIONS = ("srtp_get_version", "srtp_create", "srtp_dealloc")

WINDOW_MIN, WINDOW_MAX = 64, 0x7FFF  # srtp.c, srtp_valid_policy
MKI_MAX = 128  # SRTP_MAX_MKI_LEN
KEYS_MAX = 16  # SRTP_MAX_NUM_MASTER_KEYS

LIMITS = (
    "keeps its own rollover counter and replay window: no state export or restore",
    "a sender whose source restarts is refused until its sequence numbers pass the highest one again",
    "the SRTCP replay window is 128 indices, and the first SRTCP index sent is 1",
    "the rollover counter of a source can be set only for a context of that one SSRC, and shows after its next packet",
    "AES-GCM cannot leave SRTP unencrypted, and a refused packet is overwritten",
    "no rollover counter search for late joiners",
)


class _Form(NamedTuple):
    """How libsrtp names a suite: its policy helper, and the tag lengths to set over the helper's."""

    helper: str
    rtp_tag_length: int
    rtcp_tag_length: int
    key_and_salt_length: int


_HELPER = "srtp_crypto_policy_set_"
_FORMS = {
    "AES_CM_128_HMAC_SHA1_80": _Form("rtp_default", 10, 10, 30),
    "AES_CM_128_HMAC_SHA1_32": _Form("rtp_default", 4, 10, 30),
    "AES_192_CM_HMAC_SHA1_80": _Form("aes_cm_192_hmac_sha1_80", 10, 10, 38),
    "AES_192_CM_HMAC_SHA1_32": _Form("aes_cm_192_hmac_sha1_80", 4, 10, 38),
    "AES_256_CM_HMAC_SHA1_80": _Form("aes_cm_256_hmac_sha1_80", 10, 10, 46),
    "AES_256_CM_HMAC_SHA1_32": _Form("aes_cm_256_hmac_sha1_80", 4, 10, 46),
    "AEAD_AES_128_GCM": _Form("aes_gcm_128_16_auth", 16, 16, 28),
    "AEAD_AES_256_GCM": _Form("aes_gcm_256_16_auth", 16, 16, 44),
    "NULL_HMAC_SHA1_80": _Form("null_cipher_hmac_sha1_80", 10, 10, 30),
    "NULL_HMAC_SHA1_32": _Form("null_cipher_hmac_sha1_80", 4, 10, 30),
}


class _CryptoPolicy(ctypes.Structure):
    """srtp_crypto_policy_t of libsrtp 2.x."""

    _fields_ = [
        ("cipher_type", ctypes.c_uint32),
        ("cipher_key_length", ctypes.c_int),
        ("auth_type", ctypes.c_uint32),
        ("auth_key_length", ctypes.c_int),
        ("auth_tag_length", ctypes.c_int),
        ("services", ctypes.c_int),
    ]


class _MasterKey(ctypes.Structure):
    """srtp_master_key_t of libsrtp 2.x."""

    _fields_ = [("key", ctypes.c_void_p), ("mki_id", ctypes.c_void_p), ("mki_size", ctypes.c_uint)]


class _Policy(ctypes.Structure):
    """srtp_policy_t of libsrtp 2.x. Compared with what pylibsrtp was compiled against before it is used."""

    _fields_ = [
        ("ssrc_type", ctypes.c_int),
        ("ssrc_value", ctypes.c_uint),
        ("rtp", _CryptoPolicy),
        ("rtcp", _CryptoPolicy),
        ("key", ctypes.c_void_p),
        ("keys", ctypes.POINTER(ctypes.POINTER(_MasterKey))),
        ("num_master_keys", ctypes.c_ulong),
        ("deprecated_ekt", ctypes.c_void_p),
        ("window_size", ctypes.c_ulong),
        ("allow_repeat_tx", ctypes.c_int),
        ("enc_xtn_hdr", ctypes.c_void_p),
        ("enc_xtn_hdr_count", ctypes.c_int),
        ("next", ctypes.c_void_p),
    ]


# RFC 6188 7.4. libsrtp to 2.7 derives AES-192 session keys with AES-256 (its issue 763): such a build never runs
# the AES-192 suites here.
_AES_192_KEY_AND_SALT = bytes.fromhex("73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1c8522f3acd4ce86d5add78edbb11")
_AES_192_SESSION_AUTH_KEY = bytes.fromhex("355b10973cd95b9eacf4061c7e1a7151e7cfbfcb")

_SSRC_SPECIFIC, _SSRC_ANY_INBOUND, _SSRC_ANY_OUTBOUND = 1, 2, 3
_NULL_AUTH = 0
_SERVICE_CONFIDENTIALITY, _SERVICE_AUTHENTICATION = 1, 2

_GetVersion = ctypes.CFUNCTYPE(ctypes.c_uint)
_Create = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(_Policy))
_Dealloc = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_SetPolicy = ctypes.CFUNCTYPE(None, ctypes.POINTER(_CryptoPolicy))
_Protect = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))


@cache
def _library() -> ctypes.CDLL | None:
    """The extension file that `import pylibsrtp` loaded, or None where the system cannot open it again."""
    try:
        return ctypes.CDLL(_binding.__file__, mode=RTLD_NOW | RTLD_NOLOAD)
    except OSError:
        return None


@cache
def _address(name: str) -> int:
    """Where a libsrtp function is: exported by the file, else by pylibsrtp's own table, else 0."""
    library = _library()
    if library is not None:
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
        except AttributeError:
            pass
    if not hasattr(_binding.lib, name):
        return 0
    return int(_binding.ffi.cast("uintptr_t", _binding.ffi.addressof(_binding.lib, name)))


def _version() -> tuple[int, int, int]:
    address = _address("srtp_get_version")
    number = int(_GetVersion(address)()) if address else 0
    return number >> 24, number >> 16 & 0xFF, number >> 8 & 0xFF


def _same_layout() -> bool:
    """Our declaration of srtp_policy_t against the compiler's."""
    theirs: Any = _binding.ffi.typeof("srtp_policy_t")
    fields = {name: field.offset for name, field in theirs.fields}
    ours = {name: getattr(_Policy, name).offset for name in ("rtp", "rtcp", "key", "window_size", "allow_repeat_tx")}
    same_size: bool = _binding.ffi.sizeof(theirs) == ctypes.sizeof(_Policy)
    return same_size and all(fields[name] == offset for name, offset in ours.items())


@cache
def _fault() -> str:
    """Why the provider cannot be used; empty when it can."""
    missing = [name for name in (*SETUP_FUNCTIONS, *PACKET_FUNCTIONS[:4]) if not _address(name)]
    if missing:
        return f"this pylibsrtp does not export {', '.join(missing)}"
    if _version()[0] != 2:
        return f"libsrtp {'.'.join(map(str, _version()))}: only 2.x is supported"
    if not _same_layout():
        return "srtp_policy_t has another layout than libsrtp 2.x"
    return ""


@cache
def _missing_suites() -> dict[str, str]:
    """Suite name to why this libsrtp does not run it."""
    if _fault():
        return dict.fromkeys(_FORMS, _fault())
    missing = {
        name: f"{_HELPER}{form.helper} is not exported"
        for name, form in _FORMS.items()
        if not _address(_HELPER + form.helper)
    }
    for name in ("AES_192_CM_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_32"):
        if name not in missing and not _derives_aes_192():
            missing[name] = "derives its session keys otherwise than RFC 6188"
    return missing


def _derives_aes_192() -> bool:
    """Protect an empty packet under the key of RFC 6188 7.4 and look at its tag."""
    context = _open("AES_192_CM_HMAC_SHA1_80", [(_AES_192_KEY_AND_SALT, b"")], _Parameters("sender"))
    header = b"\x80".ljust(12, b"\0")
    buffer = ctypes.create_string_buffer(header, 64)
    length = ctypes.c_int(len(header))
    _Protect(_address("srtp_protect"))(context.address, buffer, ctypes.byref(length))
    context.close()
    rollover_counter = bytes(4)
    expected = hmac.digest(_AES_192_SESSION_AUTH_KEY, header + rollover_counter, hashlib.sha1)[:10]
    return hmac.compare_digest(buffer.raw[12 : length.value], expected)


def suites() -> tuple[str, ...]:
    """The suites that this libsrtp can run, by their registered names."""
    return tuple(name for name in _FORMS if name not in _missing_suites())


def functions() -> dict[str, int]:
    """Addresses of the functions that work on packets, 0 for one that is missing.

    Raises LibsrtpError when the provider cannot be used at all.
    """
    if _fault():
        raise LibsrtpError(_fault())
    return {name: _address(name) for name in PACKET_FUNCTIONS}


def status() -> dict[str, object]:
    """What `srtpgw kernels` shows of this provider."""
    return {
        "available": not _fault(),
        "fault": _fault(),
        "version": ".".join(map(str, _version())),
        "suites": list(suites()),
        "missing_suites": dict(_missing_suites()),
        "missing_functions": [name for name in PACKET_FUNCTIONS if not _address(name)],
        "limits": list(LIMITS),
    }


class Context:
    """Owns one srtp_t. Whoever hands its address out keeps this object until the last user is done with it."""

    __slots__ = ("address", "uses_mki")

    def __init__(self, address: int, uses_mki: bool) -> None:
        self.address = address
        self.uses_mki = uses_mki

    def close(self) -> None:
        """Free the srtp_t with its keys; libsrtp wipes them. Again is harmless."""
        address, self.address = self.address, 0
        if address:
            _Dealloc(_address("srtp_dealloc"))(address)

    __del__ = close

    def __reduce__(self) -> str:
        raise TypeError("a libsrtp context cannot be pickled")


class _Parameters(NamedTuple):
    direction: Direction
    ssrc: int | None = None
    window: int = 1024
    encrypt_rtp: bool = True
    encrypt_rtcp: bool = True
    authenticate_rtp: bool = True


def create(
    suite: str,
    keys: Sequence[tuple[bytes, bytes]],
    *,
    direction: Direction,
    ssrc: int | None = None,
    window: int = 1024,
    encrypt_rtp: bool = True,
    encrypt_rtcp: bool = True,
    authenticate_rtp: bool = True,
) -> Context:
    """A new context over `keys`: (master key || master salt, MKI) each, the MKI empty for a single key without one.

    `ssrc` None takes any SSRC; the rollover counter can be set in advance only for one that is named. `window` is
    in packets. The MKI index that srtp_protect_mki takes is the place in `keys`.
    Raises LibsrtpError with what was refused: suite, key length, MKI, window, or the parameter.
    """
    parameters = _Parameters(direction, ssrc, window, encrypt_rtp, encrypt_rtcp, authenticate_rtp)
    _check(suite, keys, parameters)
    return _open(suite, keys, parameters)


def _check(suite: str, keys: Sequence[tuple[bytes, bytes]], parameters: _Parameters) -> None:
    if suite not in _FORMS:
        raise LibsrtpError(f"unknown suite {suite!r}")
    if suite in _missing_suites():
        raise LibsrtpError(f"{suite}: {_missing_suites()[suite]}")
    if not 1 <= len(keys) <= KEYS_MAX:
        raise LibsrtpError(f"1 to {KEYS_MAX} master keys are possible, {len(keys)} given")
    length = _FORMS[suite].key_and_salt_length
    if any(len(key) != length for key, _ in keys):
        raise LibsrtpError(f"{suite} takes {length} octets of key and salt")
    mkis = {mki for _, mki in keys}
    if len(mkis) < len(keys) or len({len(mki) for mki in mkis}) != 1 or len(keys[0][1]) > MKI_MAX:
        raise LibsrtpError(f"MKIs must differ and have one length up to {MKI_MAX} octets")
    if keys[0][1] and not all(_address(name) for name in PACKET_FUNCTIONS if name.endswith("_mki")):
        raise LibsrtpError("this libsrtp does not export its functions for MKI")
    if not WINDOW_MIN <= parameters.window <= WINDOW_MAX:
        raise LibsrtpError(f"the window may be {WINDOW_MIN} to {WINDOW_MAX} packets, not {parameters.window}")
    if "GCM" in suite and not (parameters.encrypt_rtp and parameters.authenticate_rtp):
        raise LibsrtpError(f"libsrtp always encrypts and authenticates SRTP under {suite}")


def _open(suite: str, keys: Sequence[tuple[bytes, bytes]], parameters: _Parameters) -> Context:
    policy = _policy(_FORMS[suite], parameters)
    uses_mki = bool(keys[0][1])
    octets = [ctypes.create_string_buffer(key, len(key)) for key, _ in keys]
    mkis = [ctypes.create_string_buffer(mki, len(mki)) for _, mki in keys]
    records = [
        _MasterKey(ctypes.addressof(key), ctypes.addressof(mki), len(mki))
        for key, mki in zip(octets, mkis, strict=True)
    ]
    if uses_mki:
        policy.keys = (ctypes.POINTER(_MasterKey) * len(records))(*map(ctypes.pointer, records))
        policy.num_master_keys = len(records)
    else:
        policy.key = ctypes.addressof(octets[0])
    context = ctypes.c_void_p()
    try:
        code = _Create(_address("srtp_create"))(ctypes.byref(context), ctypes.byref(policy))
    finally:
        for key in octets:  # libsrtp has derived its own keys by now
            ctypes.memset(key, 0, len(key))
    if code or not context.value:
        raise LibsrtpError(f"srtp_create refused {suite} with status {code}")
    return Context(context.value, uses_mki)


def _policy(form: _Form, parameters: _Parameters) -> _Policy:
    policy = _Policy(window_size=parameters.window)
    if parameters.ssrc is None:
        policy.ssrc_type = _SSRC_ANY_OUTBOUND if parameters.direction == "sender" else _SSRC_ANY_INBOUND
    else:
        policy.ssrc_type, policy.ssrc_value = _SSRC_SPECIFIC, parameters.ssrc
    for crypto, tag_length, encrypt, authenticate in (
        (policy.rtp, form.rtp_tag_length, parameters.encrypt_rtp, parameters.authenticate_rtp),
        (policy.rtcp, form.rtcp_tag_length, parameters.encrypt_rtcp, True),
    ):
        _SetPolicy(_address(_HELPER + form.helper))(ctypes.byref(crypto))
        crypto.auth_tag_length = tag_length
        if not encrypt:
            crypto.services &= ~_SERVICE_CONFIDENTIALITY
        if not authenticate:
            crypto.services &= ~_SERVICE_AUTHENTICATION
            crypto.auth_type, crypto.auth_key_length, crypto.auth_tag_length = _NULL_AUTH, 0, 0
    return policy
