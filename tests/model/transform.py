"""Protection of one packet whose index is known: RFC 3711 3 and 4 (AES-CM, NULL), RFC 7714 8, 9 and 13 (GCM).

    SRTP   CM    header | E(payload)             | MKI | tag        tag over header .. payload, ROC
    SRTP   GCM   header | E(payload) + tag       | MKI              AAD = header
    SRTCP  CM    8 octets | E(rest) | E+index    | MKI | tag        tag over packet, E+index
    SRTCP  GCM   8 octets | E(rest) + tag | E+index | MKI           AAD = 8 octets, E+index

An unencrypted packet under GCM is all AAD with an empty plaintext (RFC 7714 8.2, 9.3).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import constant_time, hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .keys import SessionKeys, aes_cm
from .packet import RTCP_HEADER_LENGTH, rtp_header_length
from .suites import SRTCP_INDEX_LENGTH, Suite

E_BIT = 1 << 31


class BadTag(Exception):
    """The packet is not authentic."""


def cm_counter_block(salt: bytes, ssrc: int, index: int) -> int:
    """RFC 3711 4.1.1: IV = (k_s * 2^16) XOR (SSRC * 2^64) XOR (i * 2^16)."""
    return int.from_bytes(salt, "big") << 16 ^ ssrc << 64 ^ index << 16


def gcm_iv(salt: bytes, ssrc: int, index: int) -> bytes:
    """RFC 7714 8.1 (00 00 SSRC ROC SEQ) and 9.1 (00 00 SSRC 00 00 index) are one formula over the index."""
    return (int.from_bytes(salt, "big") ^ ssrc << 48 ^ index).to_bytes(12, "big")


def hmac_sha1(key: bytes, data: bytes, length: int) -> bytes:
    mac = hmac.HMAC(key, hashes.SHA1())  # noqa: S303 - RFC 3711 4.2.1
    mac.update(data)
    return mac.finalize()[:length]


def crypt(suite: Suite, keys: SessionKeys, ssrc: int, index: int, data: bytes) -> bytes:
    """Counter mode and the NULL cipher are their own inverses."""
    if suite.cipher == "NULL" or not data:
        return data
    stream = aes_cm(keys.cipher, cm_counter_block(keys.salt, ssrc, index), len(data))
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))


def protect_rtp(
    suite: Suite, keys: SessionKeys, packet: bytes, index: int, *, mki: bytes = b"", encrypt: bool = True,
    authenticate: bool = True,
) -> bytes:  # fmt: skip
    ssrc = int.from_bytes(packet[8:12], "big")
    split = rtp_header_length(packet) if encrypt else len(packet)
    header, payload = packet[:split], packet[split:]
    if suite.cipher == "AES-GCM":
        sealed = AESGCM(keys.cipher).encrypt(gcm_iv(keys.salt, ssrc, index), payload, header)
        return header + sealed + mki
    body = header + crypt(suite, keys, ssrc, index, payload)
    tag = hmac_sha1(keys.auth, body + (index >> 16).to_bytes(4, "big"), suite.rtp_tag_length) if authenticate else b""
    return body + mki + tag


def unprotect_rtp(
    suite: Suite, keys: SessionKeys, wire: bytes, index: int, *, mki_length: int = 0, encrypt: bool = True,
    authenticate: bool = True,
) -> bytes:  # fmt: skip
    ssrc = int.from_bytes(wire[8:12], "big")
    if suite.cipher == "AES-GCM":
        end = len(wire) - mki_length
        split = rtp_header_length(wire) if encrypt else end - suite.rtp_tag_length
        return wire[:split] + open_gcm(keys, gcm_iv(keys.salt, ssrc, index), wire[split:end], wire[:split])
    tag_length = suite.rtp_tag_length if authenticate else 0
    body, tag = wire[: len(wire) - tag_length - mki_length], wire[len(wire) - tag_length :]
    check(hmac_sha1(keys.auth, body + (index >> 16).to_bytes(4, "big"), tag_length), tag)
    split = rtp_header_length(body) if encrypt else len(body)
    return body[:split] + crypt(suite, keys, ssrc, index, body[split:])


def protect_rtcp(
    suite: Suite, keys: SessionKeys, packet: bytes, index: int, *, mki: bytes = b"", encrypt: bool = True
) -> bytes:
    ssrc = int.from_bytes(packet[4:8], "big")
    split = RTCP_HEADER_LENGTH if encrypt else len(packet)
    header, payload = packet[:split], packet[split:]
    # RFC 7714 9.3 clears E for an unencrypted packet. NULL suites clear it too: nothing is encrypted.
    encrypted = encrypt and suite.cipher != "NULL"
    e_index = (index | (E_BIT if encrypted else 0)).to_bytes(4, "big")
    if suite.cipher == "AES-GCM":
        sealed = AESGCM(keys.cipher).encrypt(gcm_iv(keys.salt, ssrc, index), payload, header + e_index)
        return header + sealed + e_index + mki
    body = header + crypt(suite, keys, ssrc, index, payload) + e_index
    return body + mki + hmac_sha1(keys.auth, body, suite.rtcp_tag_length)


def srtcp_index(suite: Suite, wire: bytes, mki_length: int = 0) -> tuple[bool, int]:
    """The E bit and the index that an SRTCP packet carries (RFC 3711 3.4)."""
    tag_behind = 0 if suite.cipher == "AES-GCM" else suite.rtcp_tag_length
    end = len(wire) - tag_behind - mki_length
    e_index = int.from_bytes(wire[end - SRTCP_INDEX_LENGTH : end], "big")
    return bool(e_index & E_BIT), e_index & ~E_BIT


def unprotect_rtcp(suite: Suite, keys: SessionKeys, wire: bytes, *, mki_length: int = 0) -> bytes:
    """Opens by the E bit of the packet: whether that bit was agreed is the context's question."""
    ssrc = int.from_bytes(wire[4:8], "big")
    encrypted, index = srtcp_index(suite, wire, mki_length)
    if suite.cipher == "AES-GCM":
        end = len(wire) - mki_length - SRTCP_INDEX_LENGTH
        e_index = wire[end : end + SRTCP_INDEX_LENGTH]
        split = RTCP_HEADER_LENGTH if encrypted else end - suite.rtcp_tag_length
        plain = open_gcm(keys, gcm_iv(keys.salt, ssrc, index), wire[split:end], wire[:split] + e_index)
        return wire[:split] + plain
    tag_start = len(wire) - suite.rtcp_tag_length
    body = wire[: tag_start - mki_length]
    check(hmac_sha1(keys.auth, body, suite.rtcp_tag_length), wire[tag_start:])
    packet = body[:-SRTCP_INDEX_LENGTH]
    split = RTCP_HEADER_LENGTH if encrypted else len(packet)
    return packet[:split] + crypt(suite, keys, ssrc, index, packet[split:])


def open_gcm(keys: SessionKeys, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(keys.cipher).decrypt(iv, sealed, aad)
    except InvalidTag:
        raise BadTag from None


def check(expected: bytes, tag: bytes) -> None:
    if not constant_time.bytes_eq(expected, tag):
        raise BadTag
