/* The suites, once: name, cipher, whether it encrypts, key octets, salt octets, tag octets of SRTP and of SRTCP.
 * RFC 3711, RFC 6188 (AES-192 and -256 counter mode), RFC 7714 (GCM). SRTCP keeps 80-bit tags in the _32 suites
 * (RFC 4568 6.2). */
#ifndef SRTPGW_SUITES_H
#define SRTPGW_SUITES_H

#include "crypto/crypto.h"

typedef struct srtp_suite {
    const char *name;
    uint8_t cipher;
    uint8_t encrypts;
    uint8_t key_len;
    uint8_t salt_len;
    uint8_t rtp_tag_len;
    uint8_t rtcp_tag_len;
} srtp_suite;

static const srtp_suite srtp_suites[] = {
    {"AES_CM_128_HMAC_SHA1_80", SRTP_CIPHER_CM, 1, 16, 14, 10, 10},
    {"AES_CM_128_HMAC_SHA1_32", SRTP_CIPHER_CM, 1, 16, 14, 4, 10},
    {"AES_192_CM_HMAC_SHA1_80", SRTP_CIPHER_CM, 1, 24, 14, 10, 10},
    {"AES_192_CM_HMAC_SHA1_32", SRTP_CIPHER_CM, 1, 24, 14, 4, 10},
    {"AES_256_CM_HMAC_SHA1_80", SRTP_CIPHER_CM, 1, 32, 14, 10, 10},
    {"AES_256_CM_HMAC_SHA1_32", SRTP_CIPHER_CM, 1, 32, 14, 4, 10},
    {"AEAD_AES_128_GCM", SRTP_CIPHER_GCM, 1, 16, 12, 16, 16},
    {"AEAD_AES_256_GCM", SRTP_CIPHER_GCM, 1, 32, 12, 16, 16},
    {"NULL_HMAC_SHA1_80", SRTP_CIPHER_CM, 0, 16, 14, 10, 10},
    {"NULL_HMAC_SHA1_32", SRTP_CIPHER_CM, 0, 16, 14, 4, 10},
};
enum { SRTP_SUITE_COUNT = sizeof srtp_suites / sizeof srtp_suites[0], SRTP_AUTH_KEY_LEN = 20 };

#endif
