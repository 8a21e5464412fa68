/* AES-GCM of tier `aesni`: eight blocks in flight, encryption stitched with GHASH, one reduction to eight blocks.
 *
 * What is hashed is a row of blocks, cut into groups of eight from its end, with zeros in front:
 *
 *        first group                                          last group
 *     | 0  ..  AAD  AAD | payload  payload  payload | ... | payload  payload  rest  lengths |
 *                   J0    counter 2, 3, 4, ...
 *
 * Each group is encrypted while the one before is hashed. The last block of AAD, which is not encrypted, has the place
 * of J0, the block of counter 1 (SP 800-38D 7.1), whose keystream masks the tag. Rests of blocks are read and written
 * as whole blocks: the tag behind them makes room. */
#include "octets.h"
#include "parts.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum {
    GROUP = 8,                  /* blocks */
    SPAN = GROUP * SRTP_BLOCK,  /* octets */
    IV_LEN = 12,
    AHEAD = 4, /* packets from asking for a key's cache lines to using them */
    CACHE_LINE = 64,
    BUFFER_GROUPS = 16,         /* 2 KiB: more than a payload on Ethernet */
};

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("aes,pclmul,ssse3,sse4.1"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,ssse3,sse4.1")
#endif

/* Inlined and unrolled everywhere: the direction is a constant then, and arrays of blocks stay in registers. Otherwise
 * keystream would be left on the stack. */
#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 8")

INLINE __m128i load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

INLINE void store(uint8_t *p, __m128i v) { _mm_storeu_si128((__m128i *)(void *)p, v); }

INLINE __m128i reverse(__m128i v) {
    return _mm_shuffle_epi8(v, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* The first len octets of a block, 0 to 16, with zeros behind. */
INLINE __m128i cut(__m128i v, size_t len) {
    static const uint8_t ones_then_zeros[2 * SRTP_BLOCK] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    return _mm_and_si128(v, load(ones_then_zeros + SRTP_BLOCK - len));
}

/* --- GHASH */

/* A carry-less product before reduction: low, middle (the two mixed products) and high 128 bits, 64 apart. */
typedef struct product {
    __m128i low, middle, high;
} product;

/* The empty statement keeps the compiler from adding in an order for which the registers do not suffice. */
INLINE product multiply_add(product sum, __m128i a, __m128i b) {
    sum.low = _mm_xor_si128(sum.low, _mm_clmulepi64_si128(a, b, 0x00));
    sum.middle = _mm_xor_si128(sum.middle, _mm_clmulepi64_si128(a, b, 0x01));
    sum.middle = _mm_xor_si128(sum.middle, _mm_clmulepi64_si128(a, b, 0x10));
    sum.high = _mm_xor_si128(sum.high, _mm_clmulepi64_si128(a, b, 0x11));
    __asm__("" : "+x"(sum.low), "+x"(sum.middle), "+x"(sum.high));
    return sum;
}

INLINE product multiply(__m128i a, __m128i b) {
    product none = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};

    return multiply_add(none, a, b);
}

/* v is what is to be reduced, next what lies 64 bits above it. Modulo x^128 + x^7 + x^2 + x + 1 in reversed order, the
 * low word w of v is w at 128 bits above it, which the exchange of the two words does, and
 * w * (x^63 + x^62 + x^57) at 64 above it. */
INLINE __m128i fold(__m128i v, __m128i next) {
    const __m128i folding = _mm_set_epi64x(0, (long long)0xc200000000000000);

    next = _mm_xor_si128(next, _mm_shuffle_epi32(v, 0x4e));
    return _mm_xor_si128(next, _mm_clmulepi64_si128(v, folding, 0x00));
}

INLINE __m128i reduce(product p) { return fold(fold(p.low, p.middle), p.high); }

/* What block i of a group is multiplied by: the powers begin with the eighth. */
INLINE __m128i power(const srtp_key *key, size_t i) {
    return _mm_load_si128((const __m128i *)(const void *)(key->powers + i * SRTP_BLOCK));
}

/* h^8 / x, h^7 / x, ... h / x: the division puts each product in its place (parts.h). */
void srtp_aesni_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]) {
    uint64_t factor[2];
    __m128i first, next;

    srtp_ghash_factor(h, factor);
    first = _mm_set_epi64x((long long)factor[0], (long long)factor[1]);
    next = first;
    for (size_t i = GROUP; i-- > 0;) {
        store(key->powers + i * SRTP_BLOCK, next);
        next = reduce(multiply(next, first));
    }
    srtp_wipe(factor, sizeof factor);
}

/* --- AES */

INLINE void encrypt_round(__m128i b[GROUP], size_t from, const uint8_t *round_key) {
    __m128i k = load(round_key);

    UNROLLED
    for (size_t i = from; i < GROUP; i++) {
        b[i] = _mm_aesenc_si128(b[i], k);
    }
}

/* Adds the counters from number + from on to blocks from .. 8. Where no carry comes out of the last octet, that is
 * cheap; and none does in the first group, whose blocks before J0, of counters below 1, mean nothing. */
INLINE void set_counters(__m128i b[GROUP], size_t from, __m128i iv, uint32_t number, int is_first) {
    __m128i v = _mm_set_epi32((int)__builtin_bswap32(is_first ? (uint8_t)number : number), 0, 0, 0);

    UNROLLED
    for (size_t i = from; i < GROUP; i++) {
        b[i] = _mm_xor_si128(iv, _mm_add_epi32(v, _mm_set_epi32((int)(i << 24), 0, 0, 0)));
    }
    if (!is_first && __builtin_expect((uint8_t)(number + GROUP - 1) < GROUP - 1, 0)) {
        UNROLLED
        for (size_t i = from; i < GROUP; i++) {
            b[i] = _mm_xor_si128(iv, _mm_set_epi32((int)__builtin_bswap32(number + (uint32_t)i), 0, 0, 0));
        }
    }
}

/* Blocks from .. 8 of keystream, those of the counters from number + from on, while the group before, x, is hashed
 * where `hashes`. Gives its hash. */
INLINE __m128i encrypt_and_hash(const srtp_job *job, uint32_t number, __m128i b[GROUP], size_t from,
                                const __m128i x[GROUP], int hashes) {
    const srtp_key *key = job->key;
    const uint8_t *round_key = key->schedule + SRTP_BLOCK, *last = key->schedule + (size_t)key->rounds * SRTP_BLOCK;
    __m128i end = load(last);
    product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};

    set_counters(b, from, _mm_xor_si128(cut(load(job->iv), IV_LEN), load(key->schedule)), number, !hashes);
    UNROLLED
    for (size_t i = 0; i < GROUP; i++, round_key += SRTP_BLOCK) {
        encrypt_round(b, from, round_key);
        if (hashes) {
            sum = multiply_add(sum, x[i], power(key, i));
        }
    }
    for (; round_key < last; round_key += SRTP_BLOCK) {
        encrypt_round(b, from, round_key);
    }
    UNROLLED
    for (size_t i = from; i < GROUP; i++) {
        b[i] = _mm_aesenclast_si128(b[i], end);
    }
    return hashes ? reduce(sum) : _mm_setzero_si128();
}

/* --- rows */

typedef struct row {
    srtp_job *job;
    uint8_t *start; /* where the first group would begin if there were payload in all of its blocks */
    size_t groups;  /* with the last block of AAD, the payload and the lengths */
    size_t lead;    /* the place of J0 in the first group */
    size_t rest;    /* octets of the last block of payload, 1 to 16 */
} row;

INLINE row row_of(srtp_job *job) {
    size_t blocks = ((size_t)job->cipher_len + SRTP_BLOCK - 1) / SRTP_BLOCK;
    row r = {.job = job, .groups = (blocks + 2 + GROUP - 1) / GROUP};

    r.lead = GROUP * r.groups - 2 - blocks;
    r.start = job->data + job->clear_len - (r.lead + 1) * SRTP_BLOCK;
    r.rest = SRTP_BLOCK + job->cipher_len - blocks * SRTP_BLOCK;
    return r;
}

/* Block i of the AAD, header and trailer. */
INLINE __m128i aad_block(const srtp_job *job, size_t i) {
    size_t at = i * SRTP_BLOCK, len = job->auth_len > at ? job->auth_len - at : 0;
    uint8_t block[SRTP_BLOCK] = {0};

    if (job->trailer_len == 0) {
        return reverse(cut(load(job->data + at), len < SRTP_BLOCK ? len : SRTP_BLOCK));
    }
    for (size_t k = 0; k < SRTP_BLOCK && at + k < (size_t)job->auth_len + job->trailer_len; k++) {
        block[k] = at + k < job->auth_len ? job->data[at + k] : job->trailer[at + k - job->auth_len];
    }
    return reverse(load(block));
}

/* The first group up to J0: AAD on top of the hash of the blocks of AAD before, if there are any. */
INLINE void put_aad(const row *r, __m128i x[GROUP]) {
    const srtp_job *job = r->job;
    size_t blocks = ((size_t)job->auth_len + job->trailer_len + SRTP_BLOCK - 1) / SRTP_BLOCK;
    size_t before = blocks > r->lead + 1 ? blocks - r->lead - 1 : 0;
    __m128i sum = _mm_setzero_si128();

    UNROLLED
    for (size_t i = 0; i < GROUP; i++) {
        x[i] = _mm_setzero_si128();
    }
    for (size_t i = 0; i < before; i++) {
        sum = reduce(multiply(_mm_xor_si128(sum, aad_block(job, i)), power(job->key, GROUP - 1)));
    }
    for (size_t i = before; i < blocks; i++) {
        x[r->lead + 1 - blocks + i] = aad_block(job, i);
    }
    x[0] = _mm_xor_si128(x[0], sum);
}

/* --- one pass over a packet */

/* A block of payload, of which len octets are meant: what lies behind them stays. Gives what is hashed. */
INLINE __m128i cross(const uint8_t *place, uint8_t *out, __m128i stream, size_t len, int protect) {
    __m128i data = load(place);
    __m128i result = _mm_xor_si128(data, len < SRTP_BLOCK ? cut(stream, len) : stream);
    __m128i cipher = protect ? result : data;

    store(out, result);
    return reverse(len < SRTP_BLOCK ? cut(cipher, len) : cipher);
}

/* The payload of a group at one of the ends of the row, or of both. Loops are unrolled and tell by the number of a
 * block whether it is payload, for keystream found by an index would have to lie in memory. */
INLINE void cross_end(const row *r, size_t group, uint8_t *out, const __m128i b[GROUP], __m128i x[GROUP], int protect) {
    const uint8_t *place = r->start + group * SPAN;
    size_t first = group == 0 ? r->lead + 1 : 0, end = group == r->groups - 1 ? GROUP - 1 : GROUP;

    UNROLLED
    for (size_t i = 0; i < GROUP; i++) {
        if (i >= first && i < end) {
            size_t len = i == GROUP - 2 && end < GROUP ? r->rest : SRTP_BLOCK;

            x[i] = cross(place + i * SRTP_BLOCK, out + i * SRTP_BLOCK, b[i], len, protect);
        }
    }
}

/* Encrypts the first group. Gives the keystream of J0. */
INLINE __m128i cross_first(const row *r, uint8_t *out, __m128i x[GROUP], int protect) {
    uint32_t number = (uint32_t)(1 - r->lead);
    __m128i b[GROUP], mask = _mm_setzero_si128();

    if (r->lead < GROUP / 2) {
        (void)encrypt_and_hash(r->job, number, b, 0, x, 0);
    } else {
        UNROLLED
        for (size_t i = 0; i < GROUP / 2; i++) {
            b[i] = _mm_setzero_si128();
        }
        (void)encrypt_and_hash(r->job, number, b, GROUP / 2, x, 0);
    }
    UNROLLED
    for (size_t i = 0; i < GROUP; i++) {
        mask = i == r->lead ? b[i] : mask;
    }
    cross_end(r, 0, out, b, x, protect);
    return mask;
}

/* The tag. The group at row->start + at comes out at out + (at & wrap). */
INLINE __m128i pass(const row *r, uint8_t *out, size_t wrap, int protect) {
    const srtp_job *job = r->job;
    const __m128i lengths =
        _mm_set_epi64x(((long long)job->auth_len + job->trailer_len) * 8, (long long)job->cipher_len * 8);
    __m128i x[GROUP], b[GROUP], mask, before;
    uint32_t number = (uint32_t)(1 - r->lead);
    product sum;

    put_aad(r, x);
    mask = cross_first(r, out, x, protect);
    for (size_t group = 1; group < r->groups; group++) {
        const uint8_t *place = r->start + group * SPAN;
        uint8_t *to = out + (group * SPAN & wrap);

        number += GROUP;
        /* what is hashed waits in memory, so that the registers suffice for what is encrypted */
        __asm__("" : "+m"(x));
        before = encrypt_and_hash(job, number, b, 0, x, 1);
        if (group < r->groups - 1) {
            UNROLLED
            for (size_t i = 0; i < GROUP; i++) {
                x[i] = cross(place + i * SRTP_BLOCK, to + i * SRTP_BLOCK, b[i], SRTP_BLOCK, protect);
            }
        } else {
            x[GROUP - 1] = _mm_setzero_si128();
            cross_end(r, group, to, b, x, protect);
        }
        x[0] = _mm_xor_si128(x[0], before);
    }
    x[GROUP - 1] = _mm_xor_si128(x[GROUP - 1], lengths);
    sum = multiply(x[0], power(job->key, 0));
    UNROLLED
    for (size_t i = 1; i < GROUP; i++) {
        sum = multiply_add(sum, x[i], power(job->key, i));
    }
    return _mm_xor_si128(reverse(reduce(sum)), mask);
}

/* Time does not depend on the octets, nor does the right tag of a forged packet ever leave the registers. */
INLINE uint8_t is_tag(const srtp_job *job, __m128i tag) {
    __m128i difference = _mm_xor_si128(tag, load(job->tag));

    return (uint8_t)_mm_testz_si128(difference, difference);
}

static void protect(srtp_job *job) {
    row r = row_of(job);

    store(job->tag, pass(&r, r.start, ~(size_t)0, 1));
}

static __attribute__((noinline)) __m128i unprotect_pass(const row *r, uint8_t *out, size_t wrap) {
    return pass(r, out, wrap, 0);
}

/* Plaintext waits in a buffer for the tag. Of a packet that is longer than the buffer, parts of it come to lie over
 * others: it takes a second pass, in place, if it is good. */
static void unprotect(srtp_job *job) {
    uint8_t buffer[BUFFER_GROUPS * SPAN] __attribute__((aligned(SPAN)));
    row r = row_of(job);

    job->good = is_tag(job, unprotect_pass(&r, buffer, sizeof buffer - 1));
    if (job->good && !job->verify_only) {
        if (r.groups > BUFFER_GROUPS) {
            (void)unprotect_pass(&r, r.start, ~(size_t)0);
        } else {
            for (size_t i = r.lead + 1; i < r.groups * GROUP - 1; i++) {
                store(r.start + i * SRTP_BLOCK, load(buffer + i * SRTP_BLOCK));
            }
        }
    }
    for (size_t i = 0; i < r.groups && i < BUFFER_GROUPS; i++) {
        for (size_t k = 0; k < GROUP; k++) {
            store(buffer + i * SPAN + k * SRTP_BLOCK, _mm_setzero_si128());
        }
    }
    srtp_wipe(buffer, 0);
}

/* Asks for the cache lines of the key that is needed a few packets later: schedule and powers. */
INLINE void fetch_ahead(srtp_job *const *jobs, size_t i, size_t count) {
    if (i + AHEAD < count) {
        const uint8_t *key = (const uint8_t *)jobs[i + AHEAD]->key;

        for (size_t at = offsetof(srtp_key, schedule); at < offsetof(srtp_key, powers) + SPAN; at += CACHE_LINE) {
            _mm_prefetch((const void *)(key + at), _MM_HINT_T0);
        }
    }
}

void srtp_aesni_protect_gcm(srtp_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fetch_ahead(jobs, i, count);
        protect(jobs[i]);
    }
}

void srtp_aesni_unprotect_gcm(srtp_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fetch_ahead(jobs, i, count);
        unprotect(jobs[i]);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
