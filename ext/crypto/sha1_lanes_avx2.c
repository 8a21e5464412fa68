/* HMAC-SHA1 of eight packets side by side, by AVX2 */
#include "hmac.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#include "lanes_256.h"

#define TURN(v, bits) _mm256_or_si256(_mm256_slli_epi32(v, bits), _mm256_srli_epi32(v, 32 - (bits)))

/* The functions of FIPS 180-4 4.1.1 */
static inline vector choose(vector b, vector c, vector d) {
    return _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)));
}

static inline vector parity(vector b, vector c, vector d) { return _mm256_xor_si256(_mm256_xor_si256(b, c), d); }

static inline vector majority(vector b, vector c, vector d) {
    return _mm256_or_si256(_mm256_and_si256(b, c), _mm256_and_si256(d, _mm256_or_si256(b, c)));
}

static inline vector mix(vector a, vector b, vector c, vector d) { return _mm256_xor_si256(parity(a, b, c), d); }

static inline vector add_live(vector a, vector b, uint32_t live) {
    const vector bits = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
    vector mask = _mm256_cmpeq_epi32(_mm256_and_si256(splat(live), bits), bits);

    return add(a, _mm256_and_si256(b, mask));
}

#include "sha1_lanes.h"

void srtp_hmac_avx2(srtp_job *const *jobs, size_t count, srtp_mac *macs) { hmac_lanes(jobs, count, macs); }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
