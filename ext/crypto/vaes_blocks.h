/* GHASH and AES on registers of four blocks. For a file that has set its instruction sets.
 *
 * Each lane hashes every fourth block for itself, by powers of h^4, up to the last group of registers: its lanes are
 * multiplied by h^4, h^3, h^2 and h and then added. The powers lie from the end of a row of blocks:
 *
 *     key->powers   | h^4 h^3 h^2 h | h^8 .. h^5 | h^12 .. h^9 | h^16 .. h^13 |    all divided by x (parts.h)
 */
#ifndef SRTPGW_VAES_BLOCKS_H
#define SRTPGW_VAES_BLOCKS_H

#include <immintrin.h>

#include "parts.h"

enum {
    LANES = 4,
    SPAN = LANES * SRTP_BLOCK, /* octets of a register */
    GROUP = 4,                 /* registers to a reduction */
};

_Static_assert(SRTP_GHASH_POWERS == LANES * GROUP, "powers for one group of registers");
_Static_assert(offsetof(srtp_key, powers) % SPAN == 0, "powers are loaded as aligned registers");

/* Inlined and unrolled everywhere: counts of registers and the direction are constants then, and arrays of registers
 * stay in registers. Otherwise keystream would be left on the stack. */
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")

/* --- registers */

INLINE __m512i load(const uint8_t *p) { return _mm512_loadu_si512((const void *)p); }

INLINE __m512i broadcast(const uint8_t *block) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)block));
}

INLINE __m512i add3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }

INLINE __m128i reversing(void) { return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

/* The octets of each lane. */
INLINE __m512i reverse(__m512i v) { return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(reversing())); }

/* The lowest n bits; none if n is negative, all if it is over 64. */
INLINE __mmask64 below(ptrdiff_t n) {
    n = n < 0 ? 0 : n;
    return _bzhi_u64(~0ull, n > SPAN ? SPAN : (unsigned)n);
}

/* --- GHASH */

/* Carry-less products before reduction: low, middle (the two mixed products) and high 128 bits, 64 apart. */
typedef struct product {
    __m512i low, middle, high;
} product;

INLINE product multiply(__m512i a, __m512i b) {
    return (product){
        .low = _mm512_clmulepi64_epi128(a, b, 0x00),
        .middle = _mm512_xor_si512(_mm512_clmulepi64_epi128(a, b, 0x01), _mm512_clmulepi64_epi128(a, b, 0x10)),
        .high = _mm512_clmulepi64_epi128(a, b, 0x11),
    };
}

INLINE product multiply_add(product sum, __m512i a, __m512i b) {
    sum.low = _mm512_xor_si512(sum.low, _mm512_clmulepi64_epi128(a, b, 0x00));
    sum.middle = add3(sum.middle, _mm512_clmulepi64_epi128(a, b, 0x01), _mm512_clmulepi64_epi128(a, b, 0x10));
    sum.high = _mm512_xor_si512(sum.high, _mm512_clmulepi64_epi128(a, b, 0x11));
    return sum;
}

/* v is what is to be reduced, next what lies 64 bits above it. Modulo x^128 + x^7 + x^2 + x + 1 in reversed order, the
 * low word w of v is w at 128 bits above it, which the exchange of the two words does, and
 * w * (x^63 + x^62 + x^57) at 64 above it. */
INLINE __m512i fold(__m512i v, __m512i next) {
    const __m512i folding = _mm512_set1_epi64((long long)0xc200000000000000);

    return add3(next, _mm512_shuffle_epi32(v, (_MM_PERM_ENUM)0x4e), _mm512_clmulepi64_epi128(v, folding, 0x00));
}

INLINE __m512i reduce(product p) { return fold(fold(p.low, p.middle), p.high); }

INLINE __m128i add_lanes(__m512i v) {
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));

    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* The powers for a register, counted from the end of the group: in the last group of a row a power for each lane, in
 * those before the highest of them for all. */
INLINE __m512i power(const uint8_t *powers, size_t from_end, int is_last_group) {
    const uint8_t *place = powers + SPAN * (from_end - 1);

    return is_last_group ? _mm512_load_si512((const void *)place) : broadcast(place);
}

/* The product of the last `count` registers of a group. */
INLINE product hash(const uint8_t *powers, const __m512i *x, size_t count, int is_last_group) {
    product sum = multiply(x[0], power(powers, count, is_last_group));

    UNROLLED
    for (size_t i = 1; i < count; i++) {
        sum = multiply_add(sum, x[i], power(powers, count - i, is_last_group));
    }
    return sum;
}

/* --- AES */

INLINE void encrypt_round(__m512i *b, size_t count, const uint8_t *round_key) {
    __m512i k = broadcast(round_key);

    UNROLLED
    for (size_t i = 0; i < count; i++) {
        b[i] = _mm512_aesenc_epi128(b[i], k);
    }
}

/* What follows the ninth round. */
INLINE void encrypt_end(const srtp_key *key, __m512i *b, size_t count) {
    const uint8_t *schedule = key->schedule;
    __m512i k = broadcast(schedule + (size_t)key->rounds * SRTP_BLOCK);

    if (key->rounds > 10) {
        encrypt_round(b, count, schedule + 10 * SRTP_BLOCK);
        encrypt_round(b, count, schedule + 11 * SRTP_BLOCK);
    }
    if (key->rounds > 12) {
        encrypt_round(b, count, schedule + 12 * SRTP_BLOCK);
        encrypt_round(b, count, schedule + 13 * SRTP_BLOCK);
    }
    UNROLLED
    for (size_t i = 0; i < count; i++) {
        b[i] = _mm512_aesenclast_epi128(b[i], k);
    }
}

/* Counter blocks, already added to the first round key, to keystream. */
INLINE void encrypt(const srtp_key *key, __m512i *b, size_t count) {
    UNROLLED
    for (size_t round = 1; round < 10; round++) {
        encrypt_round(b, count, key->schedule + round * SRTP_BLOCK);
    }
    encrypt_end(key, b, count);
}

/* The same for the registers of one group, stitched with the hash of the group before, x. */
INLINE __m512i encrypt_and_hash(const srtp_key *key, __m512i b[GROUP], const __m512i x[GROUP]) {
    const uint8_t *schedule = key->schedule, *powers = key->powers;
    product sum;

    /* keeps the compiler from holding keys in registers, or on the stack, over the loop around this */
    __asm__("" : "+r"(schedule), "+r"(powers));
    encrypt_round(b, GROUP, schedule + 1 * SRTP_BLOCK);
    sum = multiply(x[0], power(powers, 4, 0));
    encrypt_round(b, GROUP, schedule + 2 * SRTP_BLOCK);
    encrypt_round(b, GROUP, schedule + 3 * SRTP_BLOCK);
    sum = multiply_add(sum, x[1], power(powers, 3, 0));
    encrypt_round(b, GROUP, schedule + 4 * SRTP_BLOCK);
    encrypt_round(b, GROUP, schedule + 5 * SRTP_BLOCK);
    sum = multiply_add(sum, x[2], power(powers, 2, 0));
    encrypt_round(b, GROUP, schedule + 6 * SRTP_BLOCK);
    sum = multiply_add(sum, x[3], power(powers, 1, 0));
    encrypt_round(b, GROUP, schedule + 7 * SRTP_BLOCK);
    sum.middle = fold(sum.low, sum.middle);
    encrypt_round(b, GROUP, schedule + 8 * SRTP_BLOCK);
    sum.high = fold(sum.middle, sum.high);
    encrypt_round(b, GROUP, schedule + 9 * SRTP_BLOCK);
    encrypt_end(key, b, GROUP);
    return sum.high;
}

#endif
