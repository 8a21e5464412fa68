/* Eight lanes of 32 bits: what AVX2 does with them, for sha1_lanes.h */
#ifndef SRTPGW_LANES_256_H
#define SRTPGW_LANES_256_H

enum { LANES = 8 };

typedef __m256i vector;

static inline vector splat(uint32_t word) { return _mm256_set1_epi32((int)word); }

static inline vector add(vector a, vector b) { return _mm256_add_epi32(a, b); }

static inline vector unpack_low32(vector a, vector b) { return _mm256_unpacklo_epi32(a, b); }

static inline vector unpack_high32(vector a, vector b) { return _mm256_unpackhi_epi32(a, b); }

static inline vector unpack_low64(vector a, vector b) { return _mm256_unpacklo_epi64(a, b); }

static inline vector unpack_high64(vector a, vector b) { return _mm256_unpackhi_epi64(a, b); }

static inline vector reverse_words(vector v) {
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);

    return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(order));
}

static inline __m128i load(const uint8_t *octets) { return _mm_loadu_si128((const __m128i *)(const void *)octets); }

/* 16 octets of the lanes row and row + 4 */
static inline vector load_rows(const uint8_t *const lanes[LANES], size_t row, size_t from) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load(lanes[row] + from)), load(lanes[row + 4] + from), 1);
}

static inline void store_rows(srtp_mac macs[LANES], size_t row, vector v) {
    _mm_store_si128((__m128i *)(void *)macs[row].octets, _mm256_castsi256_si128(v));
    _mm_store_si128((__m128i *)(void *)macs[row + 4].octets, _mm256_extracti128_si256(v, 1));
}

#endif
