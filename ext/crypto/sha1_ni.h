/* SHA-1 and HMAC-SHA1 by the SHA extensions, of one packet or of two at a time: a round of one waits for the round
 * before it, and meanwhile the other's runs. For a file that has set its instruction sets and brings start_lane,
 * next_words and add_e. */
#ifndef SRTPGW_SHA1_NI_H
#define SRTPGW_SHA1_NI_H

#include "hmac.h"

/* A is the highest word of abcd, E that of e, and the first word that of a. */
typedef struct chain {
    __m128i abcd, e;
    __m128i a, b, c, d; /* the sixteen newest words */
} chain;

static inline __m128i load_reversed(const uint8_t *p) {
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), order);
}

static inline void load_state(chain *s, const uint32_t state[SRTP_SHA1_WORDS]) {
    s->abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0x1b);
    s->e = _mm_set_epi32((int)state[4], 0, 0, 0);
}

static inline void load_block(chain *s, const uint8_t *block) {
    s->a = load_reversed(block);
    s->b = load_reversed(block + 16);
    s->c = load_reversed(block + 32);
    s->d = load_reversed(block + 48);
}

/* Four rounds of n chains, n being constant where this is used. e holds the state of four rounds ago. */
#define FOUR(function, words)                                                                                          \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        __m128i before = s[i].abcd;                                                                                    \
        s[i].abcd = _mm_sha1rnds4_epu32(before, add_e(s[i].e, s[i].words), function);                                  \
        s[i].e = before;                                                                                               \
    }

/* The same, after the next four words have taken the place of the oldest, w0. */
#define FOUR_ON(function, w0, w1, w2, w3)                                                                              \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        s[i].w0 = next_words(s[i].w0, s[i].w1, s[i].w2, s[i].w3);                                                      \
    }                                                                                                                  \
    FOUR(function, w0)

#define TWENTY_ON(function, w0, w1, w2, w3)                                                                            \
    FOUR_ON(function, w0, w1, w2, w3)                                                                                  \
    FOUR_ON(function, w1, w2, w3, w0)                                                                                  \
    FOUR_ON(function, w2, w3, w0, w1)                                                                                  \
    FOUR_ON(function, w3, w0, w1, w2)                                                                                  \
    FOUR_ON(function, w0, w1, w2, w3)

/* The compression function (FIPS 180-4 6.1.2) on n chains, 1 or 2 */
static inline void compress(chain *s, size_t n) {
    __m128i abcd[2], e[2];

    for (size_t i = 0; i < n; i++) {
        abcd[i] = s[i].abcd;
        e[i] = s[i].e;
        s[i].abcd = _mm_sha1rnds4_epu32(abcd[i], _mm_add_epi32(e[i], s[i].a), 0);
        s[i].e = abcd[i];
    }
    FOUR(0, b)
    FOUR(0, c)
    FOUR(0, d)
    FOUR_ON(0, a, b, c, d)
    TWENTY_ON(1, b, c, d, a)
    TWENTY_ON(2, c, d, a, b)
    TWENTY_ON(3, d, a, b, c)
    for (size_t i = 0; i < n; i++) {
        s[i].abcd = _mm_add_epi32(s[i].abcd, abcd[i]);
        s[i].e = add_e(s[i].e, e[i]);
    }
}

/* The outer hash is of one block: the 20 octets of the inner one, and padding. */
static inline void outer_hash(chain *s, srtp_job *const *jobs, srtp_mac *macs, size_t n) {
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    for (size_t i = 0; i < n; i++) {
        __m128i fifth = _mm_and_si128(s[i].e, _mm_set_epi32(-1, 0, 0, 0));

        s[i].a = s[i].abcd;
        s[i].b = _mm_or_si128(fifth, _mm_set_epi32(0, (int)0x80000000, 0, 0));
        s[i].c = _mm_setzero_si128();
        s[i].d = _mm_set_epi32(0, 0, 0, (SRTP_SHA1_BLOCK + SRTP_HMAC_SHA1_LEN) * 8);
        load_state(&s[i], jobs[i]->key->outer);
    }
    compress(s, n);
    for (size_t i = 0; i < n; i++) {
        _mm_store_si128((__m128i *)(void *)macs[i].octets, _mm_shuffle_epi8(s[i].abcd, order));
    }
}

static inline void hmac_one(srtp_job *const *jobs, srtp_mac *macs) {
    srtp_hmac_end end;
    srtp_hmac_lane lane;
    chain s;

    start_lane(&lane, &end, jobs[0]);
    load_state(&s, jobs[0]->key->inner);
    for (uint32_t b = 0; b < lane.blocks; b++) {
        load_block(&s, srtp_hmac_block(&lane, b));
        compress(&s, 1);
    }
    outer_hash(&s, jobs, macs, 1);
}

static inline void hmac_two(srtp_job *const *jobs, srtp_mac *macs) {
    srtp_hmac_end ends[2];
    srtp_hmac_lane lanes[2];
    chain s[2];
    uint32_t b = 0;

    for (size_t i = 0; i < 2; i++) {
        start_lane(&lanes[i], &ends[i], jobs[i]);
        load_state(&s[i], jobs[i]->key->inner);
    }
    for (; b < lanes[1].blocks; b++) {
        load_block(&s[0], srtp_hmac_block(&lanes[0], b));
        load_block(&s[1], srtp_hmac_block(&lanes[1], b));
        compress(s, 2);
    }
    for (; b < lanes[0].blocks; b++) {
        load_block(&s[0], srtp_hmac_block(&lanes[0], b));
        compress(s, 1);
    }
    outer_hash(s, jobs, macs, 2);
}

/* Of one packet, or of two of which the second is not longer than the first */
static inline void hmac_one_or_two(srtp_job *const *jobs, size_t count, srtp_mac *macs) {
    if (count > 1) {
        hmac_two(jobs, macs);
    } else {
        hmac_one(jobs, macs);
    }
}

#endif
