/* Tier `aesni`: AES-NI with eight blocks in flight; SHA-1 by the SHA extensions or by AVX2, where the CPU has them. */
#include "cm_batch.h"
#include "octets.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { LANES = 8 };

/* Instruction sets by pragma, so that the build needs no flag for this file; clang has its own form. What is
 * outside of the pair runs on any x86-64. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,pclmul,ssse3,sse4.1"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,ssse3,sse4.1")
#endif

static inline __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

static inline void store(uint8_t *p, __m128i v) { _mm_storeu_si128((__m128i *)(void *)p, v); }

static inline __m128i reverse_octets(__m128i v) {
    return _mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* The keystream of the eight counter blocks that follow; the counter is kept with its octets reversed. */
static inline void next_stream(const srtp_key *key, __m128i *counter, __m128i stream[LANES]) {
    const __m128i *schedule = (const __m128i *)(const void *)key->schedule;
    size_t rounds = key->rounds;

    for (int i = 0; i < LANES; i++) {
        __m128i block = reverse_octets(_mm_add_epi32(*counter, _mm_set_epi32(0, 0, 0, i)));

        stream[i] = _mm_xor_si128(block, schedule[0]);
    }
    *counter = _mm_add_epi32(*counter, _mm_set_epi32(0, 0, 0, LANES));
    for (size_t round = 1; round < rounds; round++) {
        for (int i = 0; i < LANES; i++) {
            stream[i] = _mm_aesenc_si128(stream[i], schedule[round]);
        }
    }
    for (int i = 0; i < LANES; i++) {
        stream[i] = _mm_aesenclast_si128(stream[i], schedule[rounds]);
    }
}

/* Fewer than eight blocks: one block takes as long as eight, so eight are made and as many octets used. */
static inline void crypt_rest(const srtp_key *key, __m128i counter, uint8_t *data, size_t len) {
    uint8_t octets[LANES * SRTP_BLOCK];
    __m128i stream[LANES];
    size_t done = 0;

    next_stream(key, &counter, stream);
    for (int i = 0; i < LANES; i++) {
        store(octets + i * SRTP_BLOCK, stream[i]);
    }
    for (; len - done >= SRTP_BLOCK; done += SRTP_BLOCK) {
        store(data + done, _mm_xor_si128(load(data + done), load(octets + done)));
    }
    for (; done < len; done++) {
        data[done] ^= octets[done];
    }
    srtp_wipe(octets, sizeof octets);
}

static void ctr(const srtp_key *key, const uint8_t counter[SRTP_BLOCK], uint8_t *data, size_t len) {
    __m128i number = reverse_octets(load(counter));
    __m128i stream[LANES];

    for (; len >= LANES * SRTP_BLOCK; len -= LANES * SRTP_BLOCK, data += LANES * SRTP_BLOCK) {
        next_stream(key, &number, stream);
        for (int i = 0; i < LANES; i++) {
            store(data + i * SRTP_BLOCK, _mm_xor_si128(load(data + i * SRTP_BLOCK), stream[i]));
        }
    }
    if (len > 0) {
        crypt_rest(key, number, data, len);
    }
}

/* The S-box on a word: where all columns are equal ShiftRows moves nothing, and the last round has no MixColumns. */
static uint32_t sub_word(uint32_t word) {
    __m128i columns = _mm_set1_epi32((int)word);

    return (uint32_t)_mm_cvtsi128_si32(_mm_aesenclast_si128(columns, _mm_setzero_si128()));
}

void srtp_aesni_set_cipher_key(srtp_key *key, enum srtp_cipher cipher, const uint8_t *octets, size_t key_len) {
    srtp_expand_key(key, octets, key_len, sub_word);
    if (cipher == SRTP_CIPHER_GCM) {
        static const uint8_t zero[SRTP_BLOCK];
        uint8_t h[SRTP_BLOCK] = {0};

        ctr(key, zero, h, sizeof h);
        srtp_aesni_set_ghash_key(key, h);
        srtp_wipe(h, sizeof h);
    }
}

void srtp_aesni_crypt(srtp_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ctr(jobs[i]->key, jobs[i]->iv, jobs[i]->data + jobs[i]->clear_len, jobs[i]->cipher_len);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const srtp_parts parts_sha_ni = {ctr, NULL, srtp_sha1_ni};
static const srtp_parts parts_plain = {ctr, NULL, srtp_sha1_generic};

static const srtp_parts *parts(void) { return srtp_cpu_features() & SRTP_CPU_SHA ? &parts_sha_ni : &parts_plain; }

/* Costs as measured on Intel's Golden Cove */
static const srtp_cm_form form_sha_ni_avx2 = {srtp_aesni_crypt,
                                              {{srtp_hmac_ni, 1, 10}, {srtp_hmac_ni, 2, 19}, {srtp_hmac_avx2, 8, 44}}};
static const srtp_cm_form form_sha_ni = {srtp_aesni_crypt, {{srtp_hmac_ni, 1, 10}, {srtp_hmac_ni, 2, 19}}};
static const srtp_cm_form form_avx2 = {srtp_aesni_crypt, {{srtp_hmac_plain, 1, 10}, {srtp_hmac_avx2, 8, 21}}};
static const srtp_cm_form form_plain = {srtp_aesni_crypt, {{srtp_hmac_plain, 1, 10}}};

static const srtp_cm_form *cm_form(void) {
    unsigned features = srtp_cpu_features();

    if (features & SRTP_CPU_SHA) {
        return features & SRTP_CPU_AVX2 ? &form_sha_ni_avx2 : &form_sha_ni;
    }
    return features & SRTP_CPU_AVX2 ? &form_avx2 : &form_plain;
}

static int available(void) {
    unsigned needed = SRTP_CPU_AES | SRTP_CPU_PCLMULQDQ | SRTP_CPU_SSSE3 | SRTP_CPU_SSE41;

    return (srtp_cpu_features() & needed) == needed;
}

void srtp_aesni_set_auth_key(srtp_key *key, const uint8_t *octets, size_t auth_len) {
    srtp_set_auth_key_by(parts(), key, octets, auth_len);
}

void srtp_aesni_keystream(const srtp_key *key, const uint8_t iv[SRTP_BLOCK], uint8_t *out, size_t len) {
    srtp_keystream_by(parts(), key, iv, out, len);
}

void srtp_aesni_protect_cm(srtp_job *const *jobs, size_t count) { srtp_protect_cm_batch(cm_form(), jobs, count); }

void srtp_aesni_unprotect_cm(srtp_job *const *jobs, size_t count) { srtp_unprotect_cm_batch(cm_form(), jobs, count); }

const srtp_kernels srtp_kernels_aesni = {
    .name = "aesni",
    .needs = "AES-NI, PCLMULQDQ, SSSE3, SSE4.1; SHA extensions and AVX2 used where present",
    .available = available,
    .set_cipher_key = srtp_aesni_set_cipher_key,
    .set_auth_key = srtp_aesni_set_auth_key,
    .keystream = srtp_aesni_keystream,
    .protect_cm = srtp_aesni_protect_cm,
    .unprotect_cm = srtp_aesni_unprotect_cm,
    .protect_gcm = srtp_aesni_protect_gcm,
    .unprotect_gcm = srtp_aesni_unprotect_gcm,
};

#endif
