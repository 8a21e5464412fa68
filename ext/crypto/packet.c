/* Packets through CTR, HMAC-SHA1 and GCM, one after the other, by the functions of a tier. */
#include "octets.h"
#include "parts.h"

enum { HMAC_INNER_PAD = 0x36, HMAC_OUTER_PAD = 0x5c };

int srtp_equal(const uint8_t *a, const uint8_t *b, size_t len) {
    uint32_t differs = 0;

    for (size_t i = 0; i < len; i++) {
        differs |= (uint32_t)(a[i] ^ b[i]);
        /* keeps the compiler from leaving the loop at the first difference */
        __asm__ __volatile__("" : "+r"(differs));
    }
    return (int)(((differs - 1) >> 31) & 1);
}

static void pad_key(const srtp_parts *parts, uint32_t state[SRTP_SHA1_WORDS], const uint8_t *octets, size_t len,
                    uint8_t pad) {
    static const uint32_t start[SRTP_SHA1_WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t block[SRTP_SHA1_BLOCK];

    memset(block, pad, sizeof block);
    for (size_t i = 0; i < len; i++) {
        block[i] ^= octets[i];
    }
    memcpy(state, start, sizeof start);
    parts->sha1(state, block, 1);
    srtp_wipe(block, sizeof block);
}

/* RFC 2104 4: the states after the two padded keys stand in for the key. */
void srtp_set_auth_key_by(const srtp_parts *parts, srtp_key *key, const uint8_t *octets, size_t auth_len) {
    pad_key(parts, key->inner, octets, auth_len, HMAC_INNER_PAD);
    pad_key(parts, key->outer, octets, auth_len, HMAC_OUTER_PAD);
}

/* Ends a SHA-1 whose last octets are blocks[0 .. len), len below 128 - 9; total counts all octets hashed. */
static void sha1_finish(const srtp_parts *parts, uint32_t state[SRTP_SHA1_WORDS], uint8_t blocks[2 * SRTP_SHA1_BLOCK],
                        size_t len, uint64_t total) {
    size_t count = len + 9 <= SRTP_SHA1_BLOCK ? 1 : 2;
    size_t end = count * SRTP_SHA1_BLOCK;

    memset(blocks + len, 0, end - len);
    blocks[len] = 0x80;
    store_be64(blocks + end - 8, total * 8);
    parts->sha1(state, blocks, count);
}

static void hmac_sha1(const srtp_parts *parts, const srtp_job *job, uint8_t mac[SRTP_HMAC_SHA1_LEN]) {
    uint8_t blocks[2 * SRTP_SHA1_BLOCK];
    uint32_t state[SRTP_SHA1_WORDS];
    size_t whole = job->auth_len / SRTP_SHA1_BLOCK;
    size_t rest = job->auth_len % SRTP_SHA1_BLOCK;
    uint64_t total = (uint64_t)SRTP_SHA1_BLOCK + job->auth_len + job->trailer_len;

    memcpy(state, job->key->inner, sizeof state);
    parts->sha1(state, job->data, whole);
    memcpy(blocks, job->data + whole * SRTP_SHA1_BLOCK, rest);
    memcpy(blocks + rest, job->trailer, job->trailer_len);
    sha1_finish(parts, state, blocks, rest + job->trailer_len, total);

    for (size_t i = 0; i < SRTP_SHA1_WORDS; i++) {
        store_be32(blocks + 4 * i, state[i]);
    }
    memcpy(state, job->key->outer, sizeof state);
    sha1_finish(parts, state, blocks, SRTP_HMAC_SHA1_LEN, SRTP_SHA1_BLOCK + SRTP_HMAC_SHA1_LEN);
    for (size_t i = 0; i < SRTP_SHA1_WORDS; i++) {
        store_be32(mac + 4 * i, state[i]);
    }
}

/* For tiers whose ciphers are their own, on a CPU that has no better SHA-1 */
void srtp_hmac_plain(srtp_job *const *jobs, size_t count, srtp_mac *macs) {
    static const srtp_parts plain = {.sha1 = srtp_sha1_generic};
    uint8_t mac[SRTP_HMAC_SHA1_LEN];

    for (size_t i = 0; i < count; i++) {
        hmac_sha1(&plain, jobs[i], mac);
        memcpy(macs[i].octets, mac, sizeof macs[i].octets);
    }
    srtp_wipe(mac, sizeof mac);
}

/* What a cipher spills to the stack or leaves in registers is the session key itself, where one is derived: the
 * compiler decides how much, and a core of the process would hold it. Deeper frames than those of ctr are wiped as
 * well. */
enum { DEAD_STACK = 2048 };

static __attribute__((noinline)) void wipe_what_is_left(void) {
    uint8_t dead[DEAD_STACK];

    srtp_wipe(dead, sizeof dead);
#if defined(__x86_64__)
    __asm__ __volatile__(
        "pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\tpxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
        "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\tpxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
        "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\tpxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
        "pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\tpxor %%xmm14, %%xmm14\n\tpxor %%xmm15, %%xmm15"
        :
        :
        : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
          "xmm13", "xmm14", "xmm15");
#endif
}

/* For the derivation of keys, not for packets. */
void srtp_keystream_by(const srtp_parts *parts, const srtp_key *key, const uint8_t *iv, uint8_t *out, size_t len) {
    memset(out, 0, len);
    parts->ctr(key, iv, out, len);
    wipe_what_is_left();
}

void srtp_protect_cm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count) {
    uint8_t mac[SRTP_HMAC_SHA1_LEN];

    for (size_t i = 0; i < count; i++) {
        const srtp_job *job = jobs[i];

        parts->ctr(job->key, job->iv, job->data + job->clear_len, job->cipher_len);
        if (job->tag_len > 0) {
            hmac_sha1(parts, job, mac);
            memcpy(job->tag, mac, job->tag_len);
        }
    }
}

/* The right tag of a forged packet is a secret: whoever learnt it could send the packet again with it. */
void srtp_unprotect_cm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count) {
    uint8_t mac[SRTP_HMAC_SHA1_LEN];

    for (size_t i = 0; i < count; i++) {
        srtp_job *job = jobs[i];

        job->good = 1;
        if (job->tag_len > 0) {
            hmac_sha1(parts, job, mac);
            job->good = (uint8_t)srtp_equal(mac, job->tag, job->tag_len);
        }
        if (job->good && !job->verify_only) {
            parts->ctr(job->key, job->iv, job->data + job->clear_len, job->cipher_len);
        }
    }
    srtp_wipe(mac, sizeof mac);
}

/* The 12-octet IV followed by a block number: 1 masks the tag, 2 and up encrypt (SP 800-38D 7.1). */
static void gcm_counter(uint8_t counter[SRTP_BLOCK], const srtp_job *job, uint32_t number) {
    memcpy(counter, job->iv, 12);
    store_be32(counter + 12, number);
}

static void gcm_crypt(const srtp_parts *parts, const srtp_job *job) {
    uint8_t counter[SRTP_BLOCK];

    gcm_counter(counter, job, 2);
    parts->ctr(job->key, counter, job->data + job->clear_len, job->cipher_len);
}

static void gcm_tag(const srtp_parts *parts, const srtp_job *job, uint8_t tag[SRTP_GCM_TAG_LEN]) {
    uint8_t counter[SRTP_BLOCK];
    uint8_t block[2 * SRTP_BLOCK];
    size_t rest = job->auth_len % SRTP_BLOCK;
    size_t whole = job->auth_len - rest;

    memset(tag, 0, SRTP_GCM_TAG_LEN);
    parts->ghash(job->key, tag, job->data, whole);
    memcpy(block, job->data + whole, rest);
    memcpy(block + rest, job->trailer, job->trailer_len);
    parts->ghash(job->key, tag, block, rest + job->trailer_len);
    parts->ghash(job->key, tag, job->data + job->clear_len, job->cipher_len);
    store_be64(block, ((uint64_t)job->auth_len + job->trailer_len) * 8);
    store_be64(block + 8, (uint64_t)job->cipher_len * 8);
    parts->ghash(job->key, tag, block, SRTP_BLOCK);
    gcm_counter(counter, job, 1);
    parts->ctr(job->key, counter, tag, SRTP_GCM_TAG_LEN);
}

void srtp_protect_gcm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count) {
    uint8_t tag[SRTP_GCM_TAG_LEN];

    for (size_t i = 0; i < count; i++) {
        gcm_crypt(parts, jobs[i]);
        gcm_tag(parts, jobs[i], tag);
        memcpy(jobs[i]->tag, tag, sizeof tag);
    }
}

void srtp_unprotect_gcm_by(const srtp_parts *parts, srtp_job *const *jobs, size_t count) {
    uint8_t tag[SRTP_GCM_TAG_LEN];

    for (size_t i = 0; i < count; i++) {
        srtp_job *job = jobs[i];

        gcm_tag(parts, job, tag);
        job->good = (uint8_t)srtp_equal(tag, job->tag, sizeof tag);
        if (job->good && !job->verify_only) {
            gcm_crypt(parts, job);
        }
    }
    srtp_wipe(tag, sizeof tag);
}
