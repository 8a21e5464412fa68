/* Tier `aesni`: AES-NI with eight blocks in flight, GHASH by PCLMULQDQ with eight blocks to a reduction, SHA-1 by
 * the SHA extensions where the CPU has them. */
#include "octets.h"
#include "parts.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum { LANES = 8 };

/* Instruction sets by pragma, so that the build needs no flag for this file; clang has its own form. What is
 * outside of the pair runs on any x86-64. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,pclmul,ssse3,sse4.1,sha"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,ssse3,sse4.1,sha")
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

/* A carry-less product before reduction: low, middle (the two mixed products) and high 128 bits, 64 apart. */
typedef struct product {
    __m128i low, middle, high;
} product;

static inline product multiply_add(product sum, __m128i a, __m128i b) {
    sum.low = _mm_xor_si128(sum.low, _mm_clmulepi64_si128(a, b, 0x00));
    sum.middle = _mm_xor_si128(sum.middle, _mm_clmulepi64_si128(a, b, 0x01));
    sum.middle = _mm_xor_si128(sum.middle, _mm_clmulepi64_si128(a, b, 0x10));
    sum.high = _mm_xor_si128(sum.high, _mm_clmulepi64_si128(a, b, 0x11));
    return sum;
}

/* Modulo x^128 + x^7 + x^2 + x + 1 in reversed order: a word w at the low end is w at 128 bits above it and
 * w * (x^63 + x^62 + x^57) at 64 above it. Two words, one after the other. */
static inline __m128i reduce(product p) {
    const __m128i folding = _mm_set_epi64x(0, (long long)0xc200000000000000);
    __m128i low = _mm_xor_si128(p.low, _mm_slli_si128(p.middle, 8));
    __m128i high = _mm_xor_si128(p.high, _mm_srli_si128(p.middle, 8));

    for (int word = 0; word < 2; word++) {
        low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, folding, 0x00));
    }
    return _mm_xor_si128(high, low);
}

/* count blocks, 1 to 8: y becomes (y + x[0]) h^count + x[1] h^(count - 1) + ... + x[count - 1] h */
static inline __m128i ghash_blocks(const __m128i *powers, __m128i y, const uint8_t *data, size_t count) {
    product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};

    for (size_t i = 0; i < count; i++) {
        y = _mm_xor_si128(y, reverse_octets(load(data + i * SRTP_BLOCK)));
        sum = multiply_add(sum, y, powers[count - 1 - i]);
        y = _mm_setzero_si128();
    }
    return reduce(sum);
}

static void ghash(const srtp_key *key, uint8_t y[SRTP_BLOCK], const uint8_t *data, size_t len) {
    const __m128i *powers = (const __m128i *)(const void *)key->powers;
    __m128i sum = reverse_octets(load(y));
    size_t whole;

    for (; len >= LANES * SRTP_BLOCK; len -= LANES * SRTP_BLOCK, data += LANES * SRTP_BLOCK) {
        sum = ghash_blocks(powers, sum, data, LANES);
    }
    whole = len / SRTP_BLOCK;
    if (whole > 0) {
        sum = ghash_blocks(powers, sum, data, whole);
    }
    if (len % SRTP_BLOCK > 0) {
        uint8_t block[SRTP_BLOCK] = {0};

        memcpy(block, data + whole * SRTP_BLOCK, len % SRTP_BLOCK);
        sum = ghash_blocks(powers, sum, block, 1);
    }
    store(y, reverse_octets(sum));
}

/* h / x, h^2 / x, ... h^8 / x: the division puts each product in its place (parts.h). */
void srtp_aesni_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]) {
    uint64_t factor[2];
    product none = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    __m128i first, power;

    srtp_ghash_factor(h, factor);
    first = _mm_set_epi64x((long long)factor[0], (long long)factor[1]);
    power = first;
    for (size_t i = 0; i < SRTP_GHASH_POWERS; i++) {
        store(key->powers + i * SRTP_BLOCK, power);
        power = reduce(multiply_add(none, power, first));
    }
    srtp_wipe(factor, sizeof factor);
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

/* Four rounds. e holds the state of four rounds ago, which sha1nexte turns and adds to the words. */
#define FOUR_ROUNDS(function, words)                                                                                   \
    do {                                                                                                               \
        __m128i before = abcd;                                                                                         \
        abcd = _mm_sha1rnds4_epu32(abcd, _mm_sha1nexte_epu32(e, words), function);                                     \
        e = before;                                                                                                    \
    } while (0)

/* The same, after the next four words have taken the place of the oldest, w0. */
#define FOUR_MORE(function, w0, w1, w2, w3)                                                                            \
    do {                                                                                                               \
        w0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3);                                    \
        FOUR_ROUNDS(function, w0);                                                                                     \
    } while (0)

static void sha1_ni(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count) {
    /* A is the highest word of the vector. E is kept turned back by the 30 bits that sha1nexte turns it. */
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0x1b);
    __m128i e = _mm_set_epi32((int)(state[4] << 2 | state[4] >> 30), 0, 0, 0);

    for (; count > 0; count--, blocks += SRTP_SHA1_BLOCK) {
        __m128i abcd_start = abcd, e_start = _mm_sha1nexte_epu32(e, _mm_setzero_si128());
        __m128i a = reverse_octets(load(blocks)), b = reverse_octets(load(blocks + 16));
        __m128i c = reverse_octets(load(blocks + 32)), d = reverse_octets(load(blocks + 48));

        FOUR_ROUNDS(0, a);
        FOUR_ROUNDS(0, b);
        FOUR_ROUNDS(0, c);
        FOUR_ROUNDS(0, d);
        FOUR_MORE(0, a, b, c, d);
        FOUR_MORE(1, b, c, d, a);
        FOUR_MORE(1, c, d, a, b);
        FOUR_MORE(1, d, a, b, c);
        FOUR_MORE(1, a, b, c, d);
        FOUR_MORE(1, b, c, d, a);
        FOUR_MORE(2, c, d, a, b);
        FOUR_MORE(2, d, a, b, c);
        FOUR_MORE(2, a, b, c, d);
        FOUR_MORE(2, b, c, d, a);
        FOUR_MORE(2, c, d, a, b);
        FOUR_MORE(3, d, a, b, c);
        FOUR_MORE(3, a, b, c, d);
        FOUR_MORE(3, b, c, d, a);
        FOUR_MORE(3, c, d, a, b);
        FOUR_MORE(3, d, a, b, c);
        abcd = _mm_add_epi32(abcd, abcd_start);
        e = _mm_sha1nexte_epu32(e, e_start);
        e = _mm_or_si128(_mm_slli_epi32(e, 2), _mm_srli_epi32(e, 30));
    }
    _mm_storeu_si128((__m128i *)(void *)state, _mm_shuffle_epi32(abcd, 0x1b));
    state[4] = (uint32_t)_mm_extract_epi32(e, 3);
    state[4] = state[4] >> 2 | state[4] << 30;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static const srtp_parts parts_sha_ni = {ctr, ghash, sha1_ni};
static const srtp_parts parts_plain_sha = {ctr, ghash, srtp_sha1_generic};

static const srtp_parts *parts(void) { return srtp_cpu_features() & SRTP_CPU_SHA ? &parts_sha_ni : &parts_plain_sha; }

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

void srtp_aesni_protect_cm(srtp_job *const *jobs, size_t count) { srtp_protect_cm_by(parts(), jobs, count); }

void srtp_aesni_unprotect_cm(srtp_job *const *jobs, size_t count) { srtp_unprotect_cm_by(parts(), jobs, count); }

void srtp_aesni_protect_gcm(srtp_job *const *jobs, size_t count) { srtp_protect_gcm_by(parts(), jobs, count); }

void srtp_aesni_unprotect_gcm(srtp_job *const *jobs, size_t count) { srtp_unprotect_gcm_by(parts(), jobs, count); }

const srtp_kernels srtp_kernels_aesni = {
    .name = "aesni",
    .needs = "AES-NI, PCLMULQDQ, SSSE3, SSE4.1; SHA extensions used where present",
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
