/* SHA-1 and HMAC-SHA1 by the SHA extensions, for CPUs without AVX-512 */
#include "hmac.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("ssse3,sse4.1,sha"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("ssse3,sse4.1,sha")
#endif

static inline void start_lane(srtp_hmac_lane *lane, srtp_hmac_end *end, const srtp_job *job) {
    srtp_hmac_start(lane, end, job);
}

/* The four words that follow w0 to w3 */
static inline __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) {
    return _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3);
}

/* E, which is A of four rounds ago turned by 30 bits, on top of the first word */
static inline __m128i add_e(__m128i before, __m128i words) { return _mm_sha1nexte_epu32(before, words); }

#include "sha1_ni.h"

void srtp_sha1_ni(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count) {
    chain s;

    load_state(&s, state);
    for (; count > 0; count--, blocks += SRTP_SHA1_BLOCK) {
        load_block(&s, blocks);
        compress(&s, 1);
    }
    _mm_storeu_si128((__m128i *)(void *)state, _mm_shuffle_epi32(s.abcd, 0x1b));
    state[4] = (uint32_t)_mm_extract_epi32(s.e, 3);
}

void srtp_hmac_ni(srtp_job *const *jobs, size_t count, srtp_mac *macs) { hmac_one_or_two(jobs, count, macs); }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
