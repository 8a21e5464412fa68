/* The contract between the SRTP contexts (srtp.pxi) and the kernels: one key record, one job record,
 * one const struct of functions per instruction set. Kernels are pure: no allocation, no global state,
 * no clock. They never branch on and never index by secret data. */
#ifndef SRTPGW_CRYPTO_H
#define SRTPGW_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

enum {
    SRTP_AES_MAX_ROUNDS = 14,
    SRTP_MKI_MAX = 128,      /* RFC 4568 6.1 */
    SRTP_GHASH_POWERS = 16,
    SRTP_HMAC_SHA1_LEN = 20,
    SRTP_GCM_TAG_LEN = 16,
    SRTP_TAIL_ROOM = 64,     /* octets a kernel may overwrite behind the end of a packet */
};

enum srtp_cipher { SRTP_CIPHER_CM = 1, SRTP_CIPHER_GCM = 2 };

/* The session keys of one master key for SRTP or for SRTCP (RFC 3711 4.3). Read-only once made, so any
 * number of workers may share it. The schedule, the MAC states and the powers are in the form of the
 * kernel that made them. AES-128-CM touches the first four cache lines only. */
typedef struct srtp_key {
    uint8_t live;       /* 0 when free, wiped, or seen from a forked child (MADV_WIPEONFORK) */
    uint8_t cipher;     /* enum srtp_cipher */
    uint8_t rounds;     /* 10, 12 or 14 */
    uint8_t mki_len;
    uint8_t reserved[12];
    uint8_t salt[16];   /* CM: 14 octets, GCM: 12; the rest is zero */
    uint32_t inner[5];  /* SHA-1 state after the block key ^ ipad */
    uint32_t outer[5];  /* SHA-1 state after the block key ^ opad */
    uint8_t pad[8];
    uint8_t schedule[(SRTP_AES_MAX_ROUNDS + 1) * 16];
    uint8_t powers[SRTP_GHASH_POWERS * 16]; /* of the GHASH key */
    uint8_t mki[SRTP_MKI_MAX];
} __attribute__((aligned(64))) srtp_key;

/* One packet's work. The octets under the tag are data[0 .. auth_len) followed by trailer[0 .. trailer_len):
 *
 *   SRTP  CM   | header .. payload |  + ROC          tag behind the payload (and MKI)
 *   SRTCP CM   | header .. payload E+index |         tag behind the index (and MKI)
 *   SRTP  GCM  | header |  is the AAD,               tag right behind the payload
 *   SRTCP GCM  | header |  + E+index is the AAD,     tag right behind the payload
 *
 * For GCM auth_len is the AAD in clear and equals clear_len. For CM auth_len covers the ciphertext too.
 * data[clear_len .. clear_len + cipher_len) is encrypted; cipher_len 0 authenticates only.
 * data and tag need no alignment. tag_len 0 (CM only) leaves the packet unauthenticated. The 64 octets before data had
 * better be mapped: masked loads reach over them, and where those would fault it takes the CPU long to see that all is
 * well. */
typedef struct srtp_job {
    const srtp_key *key;
    uint8_t *data;
    uint8_t *tag;
    uint32_t clear_len;
    uint32_t cipher_len;
    uint32_t auth_len;
    uint8_t trailer[4];
    uint8_t trailer_len;  /* 0 or 4 */
    uint8_t tag_len;      /* CM: 0, 4 or 10; GCM: 16 */
    uint8_t verify_only;  /* unprotect: check the tag, leave the octets encrypted */
    uint8_t good;         /* out, unprotect: the tag was right (or tag_len is 0) */
    uint8_t iv[16];       /* CM: the whole first counter block (last two octets 0); GCM: 12 octets */
} srtp_job;

typedef void (*srtp_run)(srtp_job *const *jobs, size_t count);

/* A tier. Every function takes jobs of one cipher, but of any keys, key lengths and packet lengths mixed.
 * unprotect compares the tag in constant time before it decrypts, and where the tag is wrong leaves
 * every octet of data as it was. protect and unprotect may overwrite at most SRTP_TAIL_ROOM octets behind the tag. */
typedef struct srtp_kernels {
    const char *name;
    const char *needs;    /* the instruction sets, for `srtpgw kernels` */
    int (*available)(void);
    /* fills cipher-dependent fields: rounds and schedule (key_len 16, 24 or 32), and powers when cipher is GCM */
    void (*set_cipher_key)(srtp_key *key, enum srtp_cipher cipher, const uint8_t *octets, size_t key_len);
    /* fills inner and outer; auth_len <= 64 */
    void (*set_auth_key)(srtp_key *key, const uint8_t *octets, size_t auth_len);
    /* AES-CTR keystream from the 16-octet counter block iv (RFC 3711 4.1.1: the last 16 bits count) */
    void (*keystream)(const srtp_key *key, const uint8_t iv[16], uint8_t *out, size_t len);
    srtp_run protect_cm;
    srtp_run unprotect_cm;
    srtp_run protect_gcm;
    srtp_run unprotect_gcm;
} srtp_kernels;

extern const srtp_kernels srtp_kernels_generic;
#if defined(__x86_64__)
extern const srtp_kernels srtp_kernels_aesni;
extern const srtp_kernels srtp_kernels_vaes;
#endif

/* All tiers built into this module, best first, NULL at the end. */
extern const srtp_kernels *const srtp_all_kernels[];

/* The best tier that this CPU offers, or the one called `forced` (NULL or "" for none);
 * NULL when `forced` is not built in or this CPU lacks its instructions. For tests ",no-sha" and ",no-avx2" behind the
 * name hide what the CPU has, for good. */
const srtp_kernels *srtp_choose_kernels(const char *forced);

/* Known answers of every function of the tier: NULL, or the name of the first that is wrong. */
const char *srtp_self_test(const srtp_kernels *kernels);

/* 1 if the octets are equal; time depends on len alone. */
int srtp_equal(const uint8_t *a, const uint8_t *b, size_t len);

#endif
