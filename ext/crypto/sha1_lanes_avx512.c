/* HMAC-SHA1 of sixteen packets side by side, by AVX-512 */
#include "hmac.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw")
#endif

enum { LANES = 16 };

typedef __m512i vector;

#define TURN(v, bits) _mm512_rol_epi32(v, bits)

static inline vector splat(uint32_t word) { return _mm512_set1_epi32((int)word); }

static inline vector add(vector a, vector b) { return _mm512_add_epi32(a, b); }

static inline vector add_live(vector a, vector b, uint32_t live) {
    return _mm512_mask_add_epi32(a, (__mmask16)live, a, b);
}

/* The functions of FIPS 180-4 4.1.1, as truth tables of three bits */
static inline vector choose(vector b, vector c, vector d) { return _mm512_ternarylogic_epi32(b, c, d, 0xca); }

static inline vector parity(vector b, vector c, vector d) { return _mm512_ternarylogic_epi32(b, c, d, 0x96); }

static inline vector majority(vector b, vector c, vector d) { return _mm512_ternarylogic_epi32(b, c, d, 0xe8); }

static inline vector mix(vector a, vector b, vector c, vector d) { return _mm512_xor_si512(parity(a, b, c), d); }

static inline vector unpack_low32(vector a, vector b) { return _mm512_unpacklo_epi32(a, b); }

static inline vector unpack_high32(vector a, vector b) { return _mm512_unpackhi_epi32(a, b); }

static inline vector unpack_low64(vector a, vector b) { return _mm512_unpacklo_epi64(a, b); }

static inline vector unpack_high64(vector a, vector b) { return _mm512_unpackhi_epi64(a, b); }

static inline vector reverse_words(vector v) {
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(order));
}

static inline __m128i load(const uint8_t *octets) { return _mm_loadu_si128((const __m128i *)(const void *)octets); }

/* 16 octets of the lanes row, row + 4, row + 8 and row + 12 */
static inline vector load_rows(const uint8_t *const lanes[LANES], size_t row, size_t from) {
    vector v = _mm512_castsi128_si512(load(lanes[row] + from));

    v = _mm512_inserti32x4(v, load(lanes[row + 4] + from), 1);
    v = _mm512_inserti32x4(v, load(lanes[row + 8] + from), 2);
    return _mm512_inserti32x4(v, load(lanes[row + 12] + from), 3);
}

static inline void store_rows(srtp_mac macs[LANES], size_t row, vector v) {
    _mm_store_si128((__m128i *)(void *)macs[row].octets, _mm512_castsi512_si128(v));
    _mm_store_si128((__m128i *)(void *)macs[row + 4].octets, _mm512_extracti32x4_epi32(v, 1));
    _mm_store_si128((__m128i *)(void *)macs[row + 8].octets, _mm512_extracti32x4_epi32(v, 2));
    _mm_store_si128((__m128i *)(void *)macs[row + 12].octets, _mm512_extracti32x4_epi32(v, 3));
}

#include "sha1_lanes.h"

void srtp_hmac_avx512(srtp_job *const *jobs, size_t count, srtp_mac *macs) { hmac_lanes(jobs, count, macs); }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
