/* AES-GCM of tier `vaes`: four blocks to a register, encryption and GHASH in one pass.
 *
 * What is hashed is a row of blocks, cut into registers of four lanes from its end, with zeros in front:
 *
 *        first register                                                 last register
 *     | 0   ..   AAD  AAD | payload  payload  payload  payload | ... | payload  payload  rest  lengths |
 *                     J0    counter 2, 3, 4, ...
 *
 * Encrypting the registers gives what masks the tag by the way: the last block of AAD, which is not encrypted, has the
 * lane of J0, the block of counter 1 (SP 800-38D 7.1). The lengths are always in the last lane, so the powers of the
 * GHASH key meet the registers on their boundaries, and one reduction does for four registers. */
#include "octets.h"
#include "parts.h"

#if defined(__x86_64__)

#include <immintrin.h>

enum {
    BUFFER_REGISTERS = 32, /* 2 KiB: more than a payload on Ethernet */
    AHEAD = 4,             /* packets from asking for a key's cache lines to using them */
};

_Static_assert(offsetof(srtp_job, auth_len) == offsetof(srtp_job, cipher_len) + sizeof(uint32_t), "see lengths_of");

#if defined(__clang__)
#pragma clang attribute push(                                                                                          \
    __attribute__((target("aes,pclmul,bmi2,avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq"))),                     \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("aes,pclmul,bmi2,avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq")
#endif

#include "vaes_blocks.h"

void srtp_vaes_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]) {
    uint64_t factor[2];
    __m512i first, second, third, fourth, all;

    srtp_ghash_factor(h, factor);
    first = _mm512_broadcast_i32x4(_mm_set_epi64x((long long)factor[0], (long long)factor[1]));
    second = reduce(multiply(first, first));
    third = reduce(multiply(second, first));
    fourth = reduce(multiply(second, second));
    all = _mm512_mask_mov_epi64(first, 0x30, second);
    all = _mm512_mask_mov_epi64(all, 0x0c, third);
    all = _mm512_mask_mov_epi64(all, 0x03, fourth);
    for (size_t i = 0; i < GROUP; i++) {
        _mm512_store_si512((void *)(key->powers + SPAN * i), all);
        all = reduce(multiply(all, fourth));
    }
    srtp_wipe(factor, sizeof factor);
}

/* --- rows */

typedef struct row {
    srtp_job *job;
    uint8_t *start;   /* where the first register would begin if there were payload in all of its lanes */
    size_t lead;      /* the lane of J0 in the first register */
    __mmask64 first;  /* octets of the first register behind that lane */
    __mmask64 last;   /* octets of the last register before the end of the payload */
} row;

INLINE size_t blocks_of(size_t len) { return (len + SRTP_BLOCK - 1) / SRTP_BLOCK; }

/* Registers of a row with the last block of AAD, the payload and the lengths. */
INLINE size_t registers_of(const srtp_job *job) { return (blocks_of(job->cipher_len) + 2 + LANES - 1) / LANES; }

INLINE row row_of(srtp_job *job, size_t registers) {
    size_t blocks = blocks_of(job->cipher_len);
    row r = {.job = job, .lead = LANES * registers - 2 - blocks};

    r.start = job->data + job->clear_len - (r.lead + 1) * SRTP_BLOCK;
    r.first = ~0xffffull << SRTP_BLOCK * r.lead;
    r.last = below((ptrdiff_t)(SPAN - SRTP_BLOCK + job->cipher_len - SRTP_BLOCK * blocks));
    return r;
}

/* Octets of register i that are payload; is_first and is_last are constants. */
INLINE __mmask64 payload_of(const row *r, int is_first, int is_last) {
    return (is_first ? r->first : ~0ull) & (is_last ? r->last : ~0ull);
}

INLINE __m512i get(const row *r, size_t i, int is_first, int is_last) {
    const uint8_t *place = r->start + SPAN * i;

    return is_first || is_last ? _mm512_maskz_loadu_epi8(payload_of(r, is_first, is_last), place) : load(place);
}

INLINE void put(const row *r, uint8_t *place, __m512i v, int is_first, int is_last) {
    if (is_first || is_last) {
        _mm512_mask_storeu_epi8(place, payload_of(r, is_first, is_last), v);
    } else {
        _mm512_storeu_si512((void *)place, v);
    }
}

/* Octets from .. from + 64 of the AAD, header and trailer, with zeros where there are none. */
INLINE __m512i aad_lanes(const srtp_job *job, ptrdiff_t from) {
    ptrdiff_t rest = (ptrdiff_t)job->auth_len - from;
    __mmask64 before = below(-from);
    __m512i v = _mm512_maskz_loadu_epi8(below(rest) & ~before, job->data + from);

    if (job->trailer_len > 0) {
        __mmask64 mask = below(rest + job->trailer_len) & ~below(rest) & ~before;

        v = _mm512_or_si512(v, _mm512_maskz_loadu_epi8(mask, job->trailer - rest));
    }
    return reverse(v);
}

/* The AAD whose last block is in the lane of J0, on top of the hash of the registers of AAD before, if there are any.
 */
static __attribute__((noinline)) __m512i hash_aad(const srtp_job *job, size_t lead) {
    ptrdiff_t blocks = (ptrdiff_t)blocks_of((size_t)job->auth_len + job->trailer_len);
    ptrdiff_t last = (blocks - 1 - (ptrdiff_t)lead) * SRTP_BLOCK;
    __m512i sum = _mm512_setzero_si512();

    for (ptrdiff_t from = last - (last + SPAN - 1) / SPAN * SPAN; from < last; from += SPAN) {
        sum = _mm512_xor_si512(sum, aad_lanes(job, from));
        sum = reduce(multiply(sum, power(job->key->powers, 1, 0)));
    }
    return _mm512_xor_si512(sum, aad_lanes(job, last));
}

/* The same. Most of it is a header that fits into the lanes up to J0's. */
INLINE __m512i aad_of(const row *r) {
    const srtp_job *job = r->job;
    size_t blocks = blocks_of(job->auth_len);
    size_t place = SRTP_BLOCK * (r->lead + 1 - blocks);

    if (__builtin_expect(blocks - 1 > r->lead || job->trailer_len > 0, 0)) { /* also for no blocks */
        return hash_aad(job, r->lead);
    }
    return reverse(_mm512_maskz_loadu_epi8(below(job->auth_len) << place, job->data - place));
}

/* The block of lengths, in bits, in the last lane (SP 800-38D 7.1 step 5): two fields of the job that are neighbours.
 */
INLINE __m512i lengths_of(const srtp_job *job) {
    const uint8_t *fields = (const uint8_t *)&job->auth_len + sizeof job->auth_len - 32;
    __m512i v = _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)fields));

    v = _mm512_sllv_epi64(v, _mm512_set_epi64(3, 3, 64, 64, 64, 64, 64, 64));
    return job->trailer_len > 0 ? _mm512_add_epi64(v, _mm512_set_epi64(32, 0, 0, 0, 0, 0, 0, 0)) : v;
}

/* --- counters */

/* The last words of the counter blocks number .. number + 3; the other words are 0. */
INLINE __m512i counters(uint32_t number) {
    const __m128i to_big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m512i v = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);

    v = _mm512_add_epi32(v, _mm512_maskz_set1_epi32(0x8888, (int)number));
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(to_big_endian));
}

/* The counters that lie `by` behind these, where only the last octet changes. */
INLINE __m512i later(__m512i v, int by) {
    return _mm512_add_epi32(v, _mm512_broadcast_i32x4(_mm_set_epi32(by << 24, 0, 0, 0)));
}

/* The counters of a group of registers, from `number` on, to b. v has those of the first register; the caller goes on
 * by later(), which is put right here when a carry into the next octet was or is near. */
INLINE void group_counters(__m512i b[GROUP], __m512i *v, uint32_t number) {
    const uint32_t blocks = GROUP * LANES;

    if (__builtin_expect((uint8_t)(number + blocks - 1) < 2 * blocks - 1, 0)) {
        for (uint32_t i = 0; i < GROUP; i++) {
            b[i] = counters(number + LANES * i);
        }
        *v = b[0];
    } else {
        for (uint32_t i = 0; i < GROUP; i++) {
            b[i] = later(*v, (int)(LANES * i));
        }
    }
}

/* The IV, which is the same in all counter blocks, added to the first round key. */
INLINE __m512i iv_of(const srtp_job *job) {
    const __m512i iv_words = _mm512_broadcast_i32x4(_mm_set_epi32(0, -1, -1, -1));

    return _mm512_ternarylogic_epi64(broadcast(job->key->schedule), broadcast(job->iv), iv_words, 0x78);
}

/* --- the first registers of a row, which may be all */

/* Last words of the counter blocks 1 .. 16, and the lane of counter 1, both to be read from `shift(lead)` on. Lanes
 * before it may hold anything. */
#define NUMBER(n) [LANES - 2 + (n)] = {0, 0, 0, (uint32_t)(n) << 24}
static const uint32_t first_numbers[LANES - 1 + GROUP * LANES][4] = {
    NUMBER(1), NUMBER(2),  NUMBER(3),  NUMBER(4),  NUMBER(5),  NUMBER(6),  NUMBER(7),  NUMBER(8),
    NUMBER(9), NUMBER(10), NUMBER(11), NUMBER(12), NUMBER(13), NUMBER(14), NUMBER(15), NUMBER(16),
};
static const uint64_t first_lane[2 * LANES - 1][2] = {[LANES - 1] = {~0ull, ~0ull}};

INLINE size_t shift(size_t lead) { return SRTP_BLOCK * (LANES - 1 - lead); }

/* Encrypts and prepares for GHASH registers 0 .. count. Gives the mask of the tag, reversed, in one of four lanes. */
INLINE __m512i begin(const row *r, __m512i *b, __m512i *x, size_t count, int is_all, int protect) {
    __m512i aad = aad_of(r), iv = iv_of(r->job), data[GROUP], mask;
    const uint8_t *numbers = (const uint8_t *)first_numbers + shift(r->lead);

    UNROLLED
    for (size_t i = 0; i < count; i++) {
        b[i] = _mm512_xor_si512(iv, load(numbers + SPAN * i));
        data[i] = get(r, i, i == 0, is_all && i == count - 1);
    }
    encrypt(r->job->key, b, count);
    mask = reverse(_mm512_and_si512(b[0], load((const uint8_t *)first_lane + shift(r->lead))));
    UNROLLED
    for (size_t i = 0; i < count; i++) {
        __mmask64 payload = payload_of(r, i == 0, is_all && i == count - 1);

        b[i] = _mm512_xor_si512(b[i], data[i]);
        x[i] = reverse(protect ? _mm512_maskz_mov_epi8(payload, b[i]) : data[i]);
    }
    if (is_all) {
        x[count - 1] = _mm512_xor_si512(x[count - 1], lengths_of(r->job));
    }
    x[0] = _mm512_xor_si512(x[0], aad);
    return mask;
}

INLINE __m128i tag_of(product sum, __m512i mask) {
    return _mm_shuffle_epi8(add_lanes(_mm512_xor_si512(reduce(sum), mask)), reversing());
}

/* Time does not depend on the octets, nor does the right tag of a forged packet ever leave the registers. */
INLINE uint8_t is_tag(const srtp_job *job, __m128i tag) {
    __m128i difference = _mm_xor_si128(tag, _mm_loadu_si128((const __m128i *)(const void *)job->tag));

    return (uint8_t)_mm_testz_si128(difference, difference);
}

INLINE void put_tag(const srtp_job *job, __m128i tag) { _mm_storeu_si128((__m128i *)(void *)job->tag, tag); }

/* --- packets of one group */

INLINE void put_all(const row *r, const __m512i *b, size_t count) {
    UNROLLED
    for (size_t i = 0; i < count; i++) {
        put(r, r->start + SPAN * i, b[i], i == 0, i == count - 1);
    }
}

/* Plaintext waits in registers for the tag. */
INLINE void run_short(srtp_job *job, size_t count, int protect) {
    row r = row_of(job, count);
    __m512i b[GROUP], x[GROUP], mask;
    __m128i tag;

    mask = begin(&r, b, x, count, 1, protect);
    if (protect) {
        put_all(&r, b, count);
    }
    tag = tag_of(hash(job->key->powers, x, count, 1), mask);
    if (protect) {
        put_tag(job, tag);
        return;
    }
    job->good = is_tag(job, tag);
    if (job->good && !job->verify_only) {
        put_all(&r, b, count);
    }
}

/* --- longer packets */

/* What a pass over a packet does, and where it leaves the octets. */
enum mode { PROTECT, UNPROTECT, UNPROTECT_TO_BUFFER, VERIFY };

/* Masked stores wait longer to be read back, so a buffer gets all of each register. */
INLINE void leave(const row *r, uint8_t *place, __m512i v, int is_first, int is_last, enum mode mode) {
    int masked = mode != UNPROTECT_TO_BUFFER;

    if (mode != VERIFY) {
        put(r, place, v, is_first && masked, is_last && masked);
    }
}

/* The first registers of a row of more than one group; the groups after them are whole. */
INLINE __m512i begin_long(const row *r, uint8_t *out, __m512i x[GROUP], size_t count, enum mode mode) {
    __m512i b[GROUP], mask;

    UNROLLED
    for (size_t i = 0; i < GROUP - count; i++) {
        x[i] = _mm512_setzero_si512();
    }
    mask = begin(r, b, x + GROUP - count, count, 0, mode == PROTECT);
    UNROLLED
    for (size_t i = 0; i < count; i++) {
        leave(r, out + SPAN * i, b[i], i == 0, 0, mode);
    }
    return mask;
}

/* One pass over a packet; what lies at row->start comes out at `out`. Gives the tag. */
INLINE __m128i pass(const row *r, size_t registers, uint8_t *out, enum mode mode) {
    const srtp_key *key = r->job->key;
    size_t i = (registers - 1) % GROUP + 1;
    uint32_t number = (uint32_t)(1 - r->lead + LANES * i);
    __m512i v = counters(number), x[GROUP], mask;

    switch (i) {
    case 1:
        mask = begin_long(r, out, x, 1, mode);
        break;
    case 2:
        mask = begin_long(r, out, x, 2, mode);
        break;
    case 3:
        mask = begin_long(r, out, x, 3, mode);
        break;
    default:
        mask = begin_long(r, out, x, 4, mode);
        break;
    }
    for (; i < registers; i += GROUP) {
        row part = {.start = r->start + SPAN * i, .last = i + GROUP == registers ? r->last : ~0ull};
        __m512i b[GROUP], iv = iv_of(r->job), sum;

        group_counters(b, &v, number);
        UNROLLED
        for (size_t k = 0; k < GROUP; k++) {
            b[k] = _mm512_xor_si512(iv, b[k]);
        }
        sum = encrypt_and_hash(key, b, x);
        UNROLLED
        for (size_t k = 0; k < GROUP; k++) {
            int is_last = k == GROUP - 1;
            __m512i data = get(&part, k, 0, is_last);

            b[k] = _mm512_xor_si512(b[k], data);
            leave(&part, out + SPAN * (i + k), b[k], 0, is_last, mode);
            x[k] = reverse(mode != PROTECT ? data : is_last ? _mm512_maskz_mov_epi8(part.last, b[k]) : b[k]);
        }
        x[0] = _mm512_xor_si512(x[0], sum);
        number += GROUP * LANES;
        v = later(v, GROUP * LANES);
    }
    x[GROUP - 1] = _mm512_xor_si512(x[GROUP - 1], lengths_of(r->job));
    return tag_of(hash(key->powers, x, GROUP, 1), mask);
}

static __attribute__((noinline)) void protect_long(srtp_job *job, size_t registers) {
    row r = row_of(job, registers);

    put_tag(job, pass(&r, registers, r.start, PROTECT));
}

/* A packet that is only verified, or for which the buffer is too short, which takes a second pass if it is good. */
static __attribute__((noinline)) void unprotect_longest(srtp_job *job, size_t registers) {
    row r = row_of(job, registers);

    job->good = is_tag(job, pass(&r, registers, r.start, VERIFY));
    if (job->good && !job->verify_only) {
        (void)pass(&r, registers, r.start, UNPROTECT);
    }
}

/* Plaintext waits in a buffer for the tag. */
static __attribute__((noinline)) void unprotect_long(srtp_job *job, size_t registers) {
    uint8_t buffer[SPAN * BUFFER_REGISTERS] __attribute__((aligned(SPAN)));
    row r = row_of(job, registers);
    size_t last = registers - 1;

    job->good = is_tag(job, pass(&r, registers, buffer, UNPROTECT_TO_BUFFER));
    if (job->good) {
        put(&r, r.start, load(buffer), 1, 0);
        for (size_t i = 1; i < last; i++) {
            put(&r, r.start + SPAN * i, load(buffer + SPAN * i), 0, 0);
        }
        put(&r, r.start + SPAN * last, load(buffer + SPAN * last), 0, 1);
    }
    for (size_t i = 0; i < registers; i++) {
        _mm512_store_si512((void *)(buffer + SPAN * i), _mm512_setzero_si512());
    }
    srtp_wipe(buffer, 0);
}

/* --- batches */

/* Schedule and powers. */
INLINE void fetch(const srtp_key *key) {
    const uint8_t *line = (const uint8_t *)key;

    for (size_t i = offsetof(srtp_key, schedule) / SPAN; i < offsetof(srtp_key, mki) / SPAN; i++) {
        _mm_prefetch((const void *)(line + SPAN * i), _MM_HINT_T0);
    }
}

INLINE void run(srtp_job *job, int protect) {
    size_t registers = registers_of(job);

    switch (registers) {
    case 1:
        run_short(job, 1, protect);
        return;
    case 2:
        run_short(job, 2, protect);
        return;
    case 3:
        run_short(job, 3, protect);
        return;
    case 4:
        run_short(job, 4, protect);
        return;
    }
    if (protect) {
        protect_long(job, registers);
    } else if (registers > BUFFER_REGISTERS || job->verify_only) {
        unprotect_longest(job, registers);
    } else {
        unprotect_long(job, registers);
    }
}

INLINE void run_all(srtp_job *const *jobs, size_t count, int protect) {
    for (size_t i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            fetch(jobs[i + AHEAD]->key);
        }
        run(jobs[i], protect);
    }
}

void srtp_vaes_protect_gcm(srtp_job *const *jobs, size_t count) { run_all(jobs, count, 1); }

void srtp_vaes_unprotect_gcm(srtp_job *const *jobs, size_t count) { run_all(jobs, count, 0); }

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
