/* What a tier is made of. A packet's way through CTR, HMAC and GCM (packet.c) is the same in every tier that
 * works one packet at a time; the tier brings these three functions. Internal to ext/crypto. */
#ifndef SRTPGW_PARTS_H
#define SRTPGW_PARTS_H

#include "crypto.h"

enum { SRTP_BLOCK = 16, SRTP_SHA1_BLOCK = 64, SRTP_SHA1_WORDS = 5 };

typedef struct srtp_parts {
    /* XORs data with the AES keystream that starts at the counter block; the last 32 bits count. SRTP needs 16
     * bits of them for CM (RFC 3711 4.1.1) and 32 for GCM: with packets below 2^20 octets they never differ. */
    void (*ctr)(const srtp_key *key, const uint8_t counter[SRTP_BLOCK], uint8_t *data, size_t len);
    /* GHASH of data, the last block filled with zeros, on top of y (SP 800-38D 6.4). NULL where the tier has GCM
     * functions of its own. */
    void (*ghash)(const srtp_key *key, uint8_t y[SRTP_BLOCK], const uint8_t *data, size_t len);
    /* the SHA-1 compression function over count blocks of 64 octets (FIPS 180-4 6.1.2) */
    void (*sha1)(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count);
} srtp_parts;

/* packet.c: the functions of srtp_kernels made from parts */
void srtp_set_auth_key_by(const srtp_parts *parts, srtp_key *key, const uint8_t *octets, size_t auth_len);
void srtp_keystream_by(const srtp_parts *parts, const srtp_key *key, const uint8_t *iv, uint8_t *out, size_t len);
void srtp_protect_cm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count);
void srtp_unprotect_cm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count);
void srtp_protect_gcm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count);
void srtp_unprotect_gcm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count);

/* schedule.c: sets rounds, and fills schedule with the round keys in the order of FIPS-197 5.2. sub_word applies
 * the S-box to the four octets of a word. */
void srtp_expand_key(srtp_key *key, const uint8_t *octets, size_t key_len, uint32_t (*sub_word)(uint32_t));

/* schedule.c: makes of the GHASH key H the factor H / x, as two words, most significant first. GHASH has its
 * bits in reverse order, so a carry-less product of two of its elements is one bit short of its place; with
 * this factor it is in place. */
void srtp_ghash_factor(const uint8_t h[SRTP_BLOCK], uint64_t factor[2]);

/* generic_sha1.c, also for CPUs that have AES-NI and no SHA extensions */
void srtp_sha1_generic(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count);

/* generic_aes.c and generic_ghash.c */
void srtp_generic_set_cipher_key(srtp_key *key, enum srtp_cipher cipher, const uint8_t *octets, size_t key_len);
void srtp_generic_ctr(const srtp_key *key, const uint8_t counter[SRTP_BLOCK], uint8_t *data, size_t len);
void srtp_generic_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]);
void srtp_generic_ghash(const srtp_key *key, uint8_t y[SRTP_BLOCK], const uint8_t *data, size_t len);

/* The first octets of an HMAC-SHA1: a tag has 10 at most. */
typedef struct srtp_mac {
    uint8_t octets[16];
} __attribute__((aligned(16))) srtp_mac;

/* packet.c: HMACs one after the other by srtp_sha1_generic */
void srtp_hmac_plain(srtp_job *const *jobs, size_t count, srtp_mac *macs);

#if defined(__x86_64__)
/* aesni.c, also for tier `vaes`. crypt runs CTR over what is to be encrypted of each packet. */
void srtp_aesni_set_cipher_key(srtp_key *key, enum srtp_cipher cipher, const uint8_t *octets, size_t key_len);
void srtp_aesni_set_auth_key(srtp_key *key, const uint8_t *octets, size_t auth_len);
void srtp_aesni_keystream(const srtp_key *key, const uint8_t iv[SRTP_BLOCK], uint8_t *out, size_t len);
void srtp_aesni_crypt(srtp_job *const *jobs, size_t count);
void srtp_aesni_protect_cm(srtp_job *const *jobs, size_t count);
void srtp_aesni_unprotect_cm(srtp_job *const *jobs, size_t count);

/* sha1_ni.c and sha1_ni_avx512.c: the HMACs of one packet, or of two of which the second is not longer */
void srtp_sha1_ni(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count);
void srtp_hmac_ni(srtp_job *const *jobs, size_t count, srtp_mac *macs);
void srtp_hmac_ni_avx512(srtp_job *const *jobs, size_t count, srtp_mac *macs);

/* sha1_lanes_*.c: of up to 8, 8 and 16 packets, none longer than the first. macs has room for as many. */
void srtp_hmac_avx2(srtp_job *const *jobs, size_t count, srtp_mac *macs);
void srtp_hmac_avx512vl(srtp_job *const *jobs, size_t count, srtp_mac *macs);
void srtp_hmac_avx512(srtp_job *const *jobs, size_t count, srtp_mac *macs);

/* aesni_gcm.c and vaes_gcm.c. set_ghash_key fills the powers, from the block of zeros encrypted. */
void srtp_aesni_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]);
void srtp_aesni_protect_gcm(srtp_job *const *jobs, size_t count);
void srtp_aesni_unprotect_gcm(srtp_job *const *jobs, size_t count);
void srtp_vaes_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]);
void srtp_vaes_protect_gcm(srtp_job *const *jobs, size_t count);
void srtp_vaes_unprotect_gcm(srtp_job *const *jobs, size_t count);
#endif

/* select.c: instruction sets that the CPU has and the system lets us use; found out once */
enum srtp_cpu_feature {
    SRTP_CPU_AES = 1 << 0,
    SRTP_CPU_PCLMULQDQ = 1 << 1,
    SRTP_CPU_SSSE3 = 1 << 2,
    SRTP_CPU_SSE41 = 1 << 3,
    SRTP_CPU_SHA = 1 << 4,
    SRTP_CPU_AVX2 = 1 << 5,   /* and AVX */
    SRTP_CPU_AVX512 = 1 << 6, /* F, BW, DQ and VL, and BMI2 */
    SRTP_CPU_VAES = 1 << 7,
    SRTP_CPU_VPCLMULQDQ = 1 << 8,
};
unsigned srtp_cpu_features(void);

/* From now on the CPU has no such features: so the tests reach what a tier does without them. */
void srtp_hide_cpu_features(unsigned features);

#endif
