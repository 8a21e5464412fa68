/* Tier `vaes`: AES and GHASH on registers of 512 bits, SHA-1 of up to sixteen packets side by side. */
#include "cm_batch.h"
#include "octets.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { VECTOR = 64, MOST_VECTORS = 4, BLOCKS_PER_VECTOR = VECTOR / SRTP_BLOCK };

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vaes"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,vaes")
#endif

static inline __m512i round_key(const srtp_key *key, size_t round) {
    return _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)(key->schedule + round * SRTP_BLOCK)));
}

static inline __m512i reverse_octets(__m512i v) {
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
}

static inline void one_round(const srtp_key *key, size_t round, __m512i *stream, size_t vectors) {
    __m512i k = round_key(key, round);

    for (size_t i = 0; i < vectors; i++) {
        stream[i] = _mm512_aesenc_epi128(stream[i], k);
    }
}

/* The keystream of the blocks that follow, vectors being constant where this is called. The counter is kept with its
 * octets reversed, one number for each block of a vector. */
static inline __m512i next_stream(const srtp_key *key, __m512i counter, __m512i *stream, size_t vectors) {
    const __m512i step = _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, BLOCKS_PER_VECTOR));
    size_t rounds = key->rounds;
    __m512i k = round_key(key, 0);

    for (size_t i = 0; i < vectors; i++) {
        stream[i] = _mm512_xor_si512(reverse_octets(counter), k);
        counter = _mm512_add_epi32(counter, step);
    }
    for (size_t round = 1; round < 10; round++) {
        one_round(key, round, stream, vectors);
    }
    if (rounds > 10) {
        one_round(key, 10, stream, vectors);
        one_round(key, 11, stream, vectors);
    }
    if (rounds > 12) {
        one_round(key, 12, stream, vectors);
        one_round(key, 13, stream, vectors);
    }
    k = round_key(key, rounds);
    for (size_t i = 0; i < vectors; i++) {
        stream[i] = _mm512_aesenclast_epi128(stream[i], k);
    }
    return counter;
}

static inline void crypt_whole(uint8_t *data, const __m512i *stream, size_t vectors) {
    for (size_t i = 0; i < vectors; i++) {
        _mm512_storeu_si512(data + i * VECTOR, _mm512_xor_si512(_mm512_loadu_si512(data + i * VECTOR), stream[i]));
    }
}

/* The last octets: whole vectors, then the 1 to 64 octets of another. */
static inline void crypt_last(const srtp_key *key, __m512i counter, uint8_t *data, size_t len, size_t vectors) {
    __m512i stream[MOST_VECTORS], octets;
    size_t whole = (vectors - 1) * VECTOR;
    __mmask64 mask = UINT64_MAX >> (whole + VECTOR - len);

    next_stream(key, counter, stream, vectors);
    crypt_whole(data, stream, vectors - 1);
    octets = _mm512_maskz_loadu_epi8(mask, data + whole);
    _mm512_mask_storeu_epi8(data + whole, mask, _mm512_xor_si512(octets, stream[vectors - 1]));
}

static inline void ctr_inline(const srtp_key *key, const uint8_t first[SRTP_BLOCK], uint8_t *data, size_t len) {
    const __m512i numbers = _mm512_set_epi32(0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0);
    __m512i counter = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)first));
    __m512i stream[MOST_VECTORS];

    counter = _mm512_add_epi32(reverse_octets(counter), numbers);
    for (; len > MOST_VECTORS * VECTOR; len -= MOST_VECTORS * VECTOR, data += MOST_VECTORS * VECTOR) {
        counter = next_stream(key, counter, stream, MOST_VECTORS);
        crypt_whole(data, stream, MOST_VECTORS);
    }
    if (len > 3 * VECTOR) {
        crypt_last(key, counter, data, len, 4);
    } else if (len > 2 * VECTOR) {
        crypt_last(key, counter, data, len, 3);
    } else if (len > VECTOR) {
        crypt_last(key, counter, data, len, 2);
    } else if (len > 0) {
        crypt_last(key, counter, data, len, 1);
    }
}

static void crypt(srtp_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ctr_inline(jobs[i]->key, jobs[i]->iv, jobs[i]->data + jobs[i]->clear_len, jobs[i]->cipher_len);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* Costs as measured on Intel's Golden Cove */
static const srtp_cm_form form_sha_ni = {crypt,
                                         {{srtp_hmac_ni_avx512, 1, 10},
                                          {srtp_hmac_ni_avx512, 2, 16},
                                          {srtp_hmac_avx512vl, 8, 31},
                                          {srtp_hmac_avx512, 16, 41}}};
static const srtp_cm_form form_plain = {
    crypt, {{srtp_hmac_plain, 1, 10}, {srtp_hmac_avx512vl, 8, 14}, {srtp_hmac_avx512, 16, 19}}};

static const srtp_cm_form *cm_form(void) { return srtp_cpu_features() & SRTP_CPU_SHA ? &form_sha_ni : &form_plain; }

static void protect_cm(srtp_job *const *jobs, size_t count) { srtp_protect_cm_batch(cm_form(), jobs, count); }

static void unprotect_cm(srtp_job *const *jobs, size_t count) { srtp_unprotect_cm_batch(cm_form(), jobs, count); }

static int available(void) {
    unsigned needed = SRTP_CPU_AVX2 | SRTP_CPU_AVX512 | SRTP_CPU_VAES | SRTP_CPU_VPCLMULQDQ;

    return srtp_kernels_aesni.available() && (srtp_cpu_features() & needed) == needed;
}

static void set_cipher_key(srtp_key *key, enum srtp_cipher cipher, const uint8_t *octets, size_t key_len) {
    srtp_aesni_set_cipher_key(key, SRTP_CIPHER_CM, octets, key_len);
    if (cipher == SRTP_CIPHER_GCM) {
        static const uint8_t zero[SRTP_BLOCK];
        uint8_t h[SRTP_BLOCK];

        srtp_aesni_keystream(key, zero, h, sizeof h);
        srtp_vaes_set_ghash_key(key, h);
        srtp_wipe(h, sizeof h);
    }
}

const srtp_kernels srtp_kernels_vaes = {
    .name = "vaes",
    .needs = "AVX-512 (F, BW, DQ, VL), BMI2, VAES, VPCLMULQDQ and all of aesni",
    .available = available,
    .set_cipher_key = set_cipher_key,
    .set_auth_key = srtp_aesni_set_auth_key,
    .keystream = srtp_aesni_keystream,
    .protect_cm = protect_cm,
    .unprotect_cm = unprotect_cm,
    .protect_gcm = srtp_vaes_protect_gcm,
    .unprotect_gcm = srtp_vaes_unprotect_gcm,
};

#endif
