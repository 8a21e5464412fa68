/* HMAC-SHA1 by the SHA extensions beside AVX-512: what surrounds the rounds takes less time in plain instructions of
 * AVX-512 than in sha1msg1, sha1msg2 and sha1nexte.
 *
 * All on registers of 128 bits: while the upper half of any of the first sixteen registers is in use, each SHA
 * instruction takes some fifty cycles on CPUs where it takes three. */
#include "hmac.h"

#if defined(__x86_64__)

#include <immintrin.h>

/* Not inlined, so that copying does not use longer registers. */
static __attribute__((noinline)) void start_lane(srtp_hmac_lane *lane, srtp_hmac_end *end, const srtp_job *job) {
    srtp_hmac_start(lane, end, job);
}

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("sha,avx512f,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("sha,avx512f,avx512vl,prefer-vector-width=128")
#endif

/* The four words that follow w0 to w3, the first of them highest: w[t] = (w[t-3] ^ w[t-8] ^ w[t-14] ^ w[t-16]) turned
 * by one bit. w[t-3] of the fourth is the first, which is added when it is there. */
static inline __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) {
    __m128i w14 = _mm_castpd_si128(_mm_shuffle_pd(_mm_castsi128_pd(w1), _mm_castsi128_pd(w0), 1));
    __m128i mixed = _mm_ternarylogic_epi32(_mm_xor_si128(w0, w2), w14, _mm_slli_si128(w3, 4), 0x96);
    __m128i first = _mm_srli_si128(mixed, 12);

    return _mm_xor_si128(_mm_rol_epi32(mixed, 1), _mm_rol_epi32(first, 2));
}

/* E, which is A of four rounds ago turned by 30 bits, on top of the first word */
static inline __m128i add_e(__m128i before, __m128i words) {
    return _mm_add_epi32(words, _mm_maskz_rol_epi32(8, before, 30));
}

#include "sha1_ni.h"

void srtp_hmac_ni_avx512(srtp_job *const *jobs, size_t count, srtp_mac *macs) {
    _mm256_zeroupper();
    hmac_one_or_two(jobs, count, macs);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
