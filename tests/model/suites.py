"""Suites by their registered names: RFC 4568 6.2, RFC 6188 4, RFC 7714 12. Lengths in octets."""

from __future__ import annotations

from typing import Literal, NamedTuple

Cipher = Literal["AES-CM", "AES-GCM", "NULL"]

SRTCP_INDEX_LENGTH = 4
AUTH_KEY_LENGTH = 20  # RFC 3711 5.2: n_a = 160 bits


class Suite(NamedTuple):
    name: str
    cipher: Cipher
    key_length: int
    salt_length: int
    rtp_tag_length: int
    rtcp_tag_length: int  # the _32 suites shorten the tag of SRTP only (RFC 4568 6.2.2)


SUITES = {
    suite.name: suite
    for suite in (
        Suite("AES_CM_128_HMAC_SHA1_80", "AES-CM", 16, 14, 10, 10),
        Suite("AES_CM_128_HMAC_SHA1_32", "AES-CM", 16, 14, 4, 10),
        Suite("AES_192_CM_HMAC_SHA1_80", "AES-CM", 24, 14, 10, 10),
        Suite("AES_192_CM_HMAC_SHA1_32", "AES-CM", 24, 14, 4, 10),
        Suite("AES_256_CM_HMAC_SHA1_80", "AES-CM", 32, 14, 10, 10),
        Suite("AES_256_CM_HMAC_SHA1_32", "AES-CM", 32, 14, 4, 10),
        Suite("AEAD_AES_128_GCM", "AES-GCM", 16, 12, 16, 16),
        Suite("AEAD_AES_256_GCM", "AES-GCM", 32, 12, 16, 16),
        Suite("NULL_HMAC_SHA1_80", "NULL", 16, 14, 10, 10),
        Suite("NULL_HMAC_SHA1_32", "NULL", 16, 14, 4, 10),
    )
}
