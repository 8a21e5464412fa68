/* HMAC-SHA1 of eight packets side by side, by AVX-512 on registers of 256 bits: three instructions at a time run on
 * them where two do on the whole registers. */
#include "hmac.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512vl")
#endif

#include "lanes_256.h"

#define TURN(v, bits) _mm256_rol_epi32(v, bits)

/* The functions of FIPS 180-4 4.1.1, as truth tables of three bits */
static inline vector choose(vector b, vector c, vector d) { return _mm256_ternarylogic_epi32(b, c, d, 0xca); }

static inline vector parity(vector b, vector c, vector d) { return _mm256_ternarylogic_epi32(b, c, d, 0x96); }

static inline vector majority(vector b, vector c, vector d) { return _mm256_ternarylogic_epi32(b, c, d, 0xe8); }

static inline vector mix(vector a, vector b, vector c, vector d) { return _mm256_xor_si256(parity(a, b, c), d); }

static inline vector add_live(vector a, vector b, uint32_t live) {
    return _mm256_mask_add_epi32(a, (__mmask8)live, a, b);
}

#include "sha1_lanes.h"

void srtp_hmac_avx512vl(srtp_job *const *jobs, size_t count, srtp_mac *macs) { hmac_lanes(jobs, count, macs); }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
