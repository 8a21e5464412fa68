/* HMAC-SHA1 of several packets side by side: word i of every vector belongs to packet i. For a file that has set its
 * instruction sets and brings LANES, the type `vector` and what it can do: add, TURN, choose, parity, majority, mix,
 * splat, unpack, reverse_words, load_rows, store_rows, and add_live for the lanes of a mask. */
#ifndef SRTPGW_SHA1_LANES_H
#define SRTPGW_SHA1_LANES_H

#include "hmac.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

typedef struct state {
    vector a, b, c, d, e;
} state;

/* Where the blocks of each lane lie: block b at at[i] + 64 b, up to block `until`, where some lane comes to its end or
 * is through. A lane that is through follows the first, which is the longest, without effect. */
typedef struct walk {
    const uint8_t *at[LANES];
    srtp_hmac_end ends[LANES];
    uint32_t whole[LANES], blocks[LANES];
    uint32_t until;
    uint32_t live; /* bit i: lane i has the block */
} walk;

static inline void set_places(walk *k, srtp_job *const *jobs, uint32_t b) {
    k->until = UINT32_MAX;
    k->live = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        uint32_t live = b < k->blocks[i];
        uint32_t lane = live ? i : 0;
        uint32_t next = b < k->whole[lane] ? k->whole[lane] : k->blocks[lane];
        const uint8_t *end = k->ends[lane].octets - (size_t)k->whole[lane] * SRTP_SHA1_BLOCK;

        k->at[i] = b < k->whole[lane] ? jobs[lane]->data : end;
        k->live |= live << i;
        k->until = next < k->until ? next : k->until;
    }
}

static inline void start_walk(walk *k, srtp_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        srtp_fill_end(&k->ends[i], jobs[i]);
        k->whole[i] = srtp_whole_blocks(jobs[i]);
        k->blocks[i] = srtp_inner_blocks(jobs[i]);
    }
    for (size_t i = count; i < LANES; i++) {
        k->whole[i] = k->blocks[i] = 0;
    }
    set_places(k, jobs, 0);
}

/* Rows to columns, of the four by four words in each 128 bits of four vectors */
static ALWAYS_INLINE void transpose(vector r[4]) {
    vector a = unpack_low32(r[0], r[1]), b = unpack_high32(r[0], r[1]);
    vector c = unpack_low32(r[2], r[3]), d = unpack_high32(r[2], r[3]);

    r[0] = unpack_low64(a, c);
    r[1] = unpack_high64(a, c);
    r[2] = unpack_low64(b, d);
    r[3] = unpack_high64(b, d);
}

/* Words i to i + 3 of block b of every lane */
static ALWAYS_INLINE void load_words(vector *words, const walk *k, size_t b, size_t i) {
    for (size_t row = 0; row < 4; row++) {
        words[i + row] = reverse_words(load_rows(k->at, row, b * SRTP_SHA1_BLOCK + 4 * i));
    }
    transpose(words + i);
}

#define STEP(function, k, word)                                                                                        \
    do {                                                                                                               \
        vector sum = add(add(s.e, add(word, k)), add(function(s.b, s.c, s.d), TURN(s.a, 5)));                          \
        s.e = s.d;                                                                                                     \
        s.d = s.c;                                                                                                     \
        s.c = TURN(s.b, 30);                                                                                           \
        s.b = s.a;                                                                                                     \
        s.a = sum;                                                                                                     \
    } while (0)

/* The same, after word i has been made of those 16, 14, 8 and 3 before it. */
#define STEP_ON(function, k, i)                                                                                        \
    do {                                                                                                               \
        vector mixed = mix(w[(i) % 16], w[((i) + 2) % 16], w[((i) + 8) % 16], w[((i) + 13) % 16]);                     \
        w[(i) % 16] = TURN(mixed, 1);                                                                                  \
        STEP(function, k, w[(i) % 16]);                                                                                \
    } while (0)

#define FOUR(step, function, k, i)                                                                                     \
    do {                                                                                                               \
        step(function, k, i);                                                                                          \
        step(function, k, (i) + 1);                                                                                    \
        step(function, k, (i) + 2);                                                                                    \
        step(function, k, (i) + 3);                                                                                    \
    } while (0)

#define STEP_FIRST(function, k, i) STEP(function, k, w[i])

#define TWENTY_ON(function, k, i)                                                                                      \
    do {                                                                                                               \
        FOUR(STEP_ON, function, k, i);                                                                                 \
        FOUR(STEP_ON, function, k, (i) + 4);                                                                           \
        FOUR(STEP_ON, function, k, (i) + 8);                                                                           \
        FOUR(STEP_ON, function, k, (i) + 12);                                                                          \
        FOUR(STEP_ON, function, k, (i) + 16);                                                                          \
    } while (0)

/* The lanes that live take the sum, the others stay as they are. */
static ALWAYS_INLINE state sum(state s, state t, uint32_t live) {
    s.a = add_live(s.a, t.a, live);
    s.b = add_live(s.b, t.b, live);
    s.c = add_live(s.c, t.c, live);
    s.d = add_live(s.d, t.d, live);
    s.e = add_live(s.e, t.e, live);
    return s;
}

#define LOAD_NEXT(i)                                                                                                   \
    do {                                                                                                               \
        if (next != NULL) {                                                                                            \
            load_words(words, next, b, i);                                                                             \
        }                                                                                                              \
    } while (0)

/* The compression function (FIPS 180-4 6.1.2), without the sum at its end. Between the rounds, whose instructions use
 * other ports of the CPU, `words` become those of block b of `next`, unless that is NULL. */
static ALWAYS_INLINE state rounds(state s, vector words[16], const walk *next, size_t b) {
    vector k = splat(0x5a827999), w[16];

    for (size_t i = 0; i < 16; i++) {
        w[i] = words[i];
    }
    FOUR(STEP_FIRST, choose, k, 0);
    FOUR(STEP_FIRST, choose, k, 4);
    FOUR(STEP_FIRST, choose, k, 8);
    FOUR(STEP_FIRST, choose, k, 12);
    FOUR(STEP_ON, choose, k, 16);
    LOAD_NEXT(0);
    k = splat(0x6ed9eba1);
    TWENTY_ON(parity, k, 20);
    LOAD_NEXT(4);
    k = splat(0x8f1bbcdc);
    TWENTY_ON(majority, k, 40);
    LOAD_NEXT(8);
    k = splat(0xca62c1d6);
    TWENTY_ON(parity, k, 60);
    LOAD_NEXT(12);
    return s;
}

_Static_assert(offsetof(srtp_key, outer) == offsetof(srtp_key, inner) + 4 * SRTP_SHA1_WORDS, "ten words in sequence");
_Static_assert(offsetof(srtp_key, inner) + 4 * 12 <= sizeof(srtp_key), "the third load stays within the key");

static ALWAYS_INLINE void load_states(state *inner, state *outer, srtp_job *const *jobs, size_t count) {
    const uint8_t *rows[LANES];
    vector r[12];

    for (size_t i = 0; i < LANES; i++) {
        rows[i] = (const uint8_t *)jobs[i < count ? i : 0]->key + offsetof(srtp_key, inner);
    }
    for (size_t i = 0; i < 12; i += 4) {
        for (size_t row = 0; row < 4; row++) {
            r[i + row] = load_rows(rows, row, 4 * i);
        }
        transpose(r + i);
    }
    *inner = (state){r[0], r[1], r[2], r[3], r[4]};
    *outer = (state){r[5], r[6], r[7], r[8], r[9]};
}

/* The outer hash is of one block: the 20 octets of the inner one, and padding. */
static ALWAYS_INLINE state outer_hash(state inner, state outer) {
    vector w[16] = {inner.a, inner.b, inner.c, inner.d, inner.e, splat(0x80000000)};

    for (size_t i = 6; i < 15; i++) {
        w[i] = splat(0);
    }
    w[15] = splat((SRTP_SHA1_BLOCK + SRTP_HMAC_SHA1_LEN) * 8);
    return sum(outer, rounds(outer, w, NULL, 0), UINT32_MAX);
}

/* Of 1 to LANES packets, none of them longer than the first. macs has room for LANES. */
static ALWAYS_INLINE void hmac_lanes(srtp_job *const *jobs, size_t count, srtp_mac *macs) {
    walk k;
    vector words[16], r[4];
    state s, outer;

    start_walk(&k, jobs, count);
    load_states(&s, &outer, jobs, count);
    for (size_t i = 0; i < 16; i += 4) {
        load_words(words, &k, 0, i);
    }
    for (uint32_t b = 0; b < k.blocks[0]; b++) {
        uint32_t live = k.live;
        uint32_t next = b + 1 < k.blocks[0] ? b + 1 : b;

        if (next == k.until) {
            set_places(&k, jobs, next);
        }
        s = sum(s, rounds(s, words, &k, next), live);
    }
    s = outer_hash(s, outer);
    r[0] = reverse_words(s.a);
    r[1] = reverse_words(s.b);
    r[2] = reverse_words(s.c);
    r[3] = reverse_words(s.d);
    transpose(r);
    for (size_t row = 0; row < 4; row++) {
        store_rows(macs, row, r[row]);
    }
}

#endif
