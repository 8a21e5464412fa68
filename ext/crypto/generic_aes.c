/* AES in plain C and constant time: bitsliced, four blocks in eight 64-bit words, no table.
 *
 * Word k holds bit k of every octet. Octet (row, column) of block b, 0 to 3 each, is at position
 *
 *     63            48 47            32 31            16 15             0
 *    |     row 3      |     row 2      |     row 1      |     row 0      |
 *                                                       | c3 | c2 | c1 | c0 |   each b = 3 2 1 0
 *
 * so MixColumns rotates words by 16, and ShiftRows turns each group of 16 by a multiple of 4.
 *
 * The S-box inverts in GF(2^8) built as GF(((2^2)^2)^2): x^2 + x + 1, then x^2 + x + w with w the root of the
 * first, then x^2 + x + m with m the element 9 of GF(2^4). The maps into that field and out of it (the latter
 * with the affine map of FIPS-197 5.1.1) were found by trying all isomorphisms and keeping the shortest. */
#include "octets.h"
#include "parts.h"

enum { PLANES = 8, BLOCKS = 4 };

#define FIRST_BLOCK 0x1111111111111111u /* the positions of block 0 */

typedef struct gf4 {
    uint64_t high, low;
} gf4;

typedef struct gf16 {
    gf4 high, low;
} gf16;

static inline gf4 gf4_add(gf4 a, gf4 b) { return (gf4){a.high ^ b.high, a.low ^ b.low}; }

static inline gf4 gf4_multiply(gf4 a, gf4 b) {
    uint64_t low = a.low & b.low;

    return (gf4){((a.high ^ a.low) & (b.high ^ b.low)) ^ low, (a.high & b.high) ^ low};
}

/* Squaring is also the inverse. */
static inline gf4 gf4_square(gf4 a) { return (gf4){a.high, a.high ^ a.low}; }

static inline gf4 gf4_times_w(gf4 a) { return (gf4){a.high ^ a.low, a.high}; }

static inline gf16 gf16_add(gf16 a, gf16 b) { return (gf16){gf4_add(a.high, b.high), gf4_add(a.low, b.low)}; }

static inline gf16 gf16_multiply(gf16 a, gf16 b) {
    gf4 low = gf4_multiply(a.low, b.low);
    gf4 sum = gf4_multiply(gf4_add(a.high, a.low), gf4_add(b.high, b.low));

    return (gf16){gf4_add(sum, low), gf4_add(gf4_times_w(gf4_multiply(a.high, b.high)), low)};
}

static inline gf16 gf16_invert(gf16 a) {
    gf4 sum = gf4_add(a.high, a.low);
    gf4 norm = gf4_add(gf4_times_w(gf4_square(a.high)), gf4_multiply(a.low, sum));
    gf4 inverse = gf4_square(norm);

    return (gf16){gf4_multiply(a.high, inverse), gf4_multiply(sum, inverse)};
}

static inline gf16 gf16_square_times_m(gf16 a) {
    uint64_t odd = a.low.high ^ a.high.high;
    uint64_t even = a.low.low ^ a.high.low;

    return (gf16){{a.low.low, a.low.high}, {odd, odd ^ even}};
}

/* a * y + b, the inverse in place; a and b are the high and the low half */
static inline void gf256_invert(gf16 *a, gf16 *b) {
    gf16 sum = gf16_add(*a, *b);
    gf16 norm = gf16_add(gf16_square_times_m(*a), gf16_multiply(*b, sum));
    gf16 inverse = gf16_invert(norm);

    *a = gf16_multiply(*a, inverse);
    *b = gf16_multiply(sum, inverse);
}

static inline void sub_bytes(uint64_t q[PLANES]) {
    uint64_t t0 = q[4] ^ q[6], t1 = q[1] ^ q[2], t2 = q[3] ^ t0, t3 = q[5] ^ t1, t4 = q[1] ^ t0, t5 = q[7] ^ t2;
    gf16 low = {{q[6] ^ t3, t3}, {t5, q[0] ^ t4}};
    gf16 high = {{q[5] ^ q[7], t2 ^ t3}, {q[7] ^ t4, q[2] ^ t5}};

    gf256_invert(&high, &low);

    uint64_t x0 = low.low.low, x1 = low.low.high, x2 = low.high.low, x3 = low.high.high;
    uint64_t x4 = high.low.low, x5 = high.low.high, x6 = high.high.low, x7 = high.high.high;
    uint64_t s0 = x2 ^ x6, s1 = x5 ^ x0 ^ x3, s2 = x7 ^ s0, s3 = x0 ^ x4, s4 = x1 ^ s1;
    q[0] = ~(x6 ^ s3);
    q[1] = ~(x4 ^ s4);
    q[2] = s2 ^ s4;
    q[3] = s3;
    q[4] = s1 ^ s2;
    q[5] = ~(x3 ^ s0);
    q[6] = ~(x4 ^ x7);
    q[7] = s2;
}

static inline void shift_rows(uint64_t q[PLANES]) {
    for (size_t k = 0; k < PLANES; k++) {
        uint64_t v = q[k];

        q[k] = (v & 0x000000000000ffff) | (v & 0x00000000fff00000) >> 4 | (v & 0x00000000000f0000) << 12 |
               (v & 0x0000ff0000000000) >> 8 | (v & 0x000000ff00000000) << 8 | (v & 0xf000000000000000) >> 12 |
               (v & 0x0fff000000000000) << 4;
    }
}

/* Octet r of a column becomes 2 (a[r] + a[r+1]) + a[r+1] + (a[r+2] + a[r+3]) (FIPS-197 5.1.3). */
static inline void mix_columns(uint64_t q[PLANES]) {
    uint64_t next[PLANES], sum[PLANES];

    for (size_t k = 0; k < PLANES; k++) {
        next[k] = q[k] >> 16 | q[k] << 48;
        sum[k] = q[k] ^ next[k];
    }
    for (size_t k = 0; k < PLANES; k++) {
        uint64_t twice = k == 0 ? sum[7] : sum[k - 1];

        if (k == 1 || k == 3 || k == 4) {
            twice ^= sum[7]; /* x^8 = x^4 + x^3 + x + 1 */
        }
        q[k] = twice ^ next[k] ^ (sum[k] >> 32 | sum[k] << 32);
    }
}

/* A round key is kept as the bits of one block, four planes to a word, and spread over the four blocks at use. */
static inline void add_round_key(uint64_t q[PLANES], const uint8_t round_key[SRTP_BLOCK]) {
    uint64_t packed[2];

    memcpy(packed, round_key, sizeof packed);
    for (size_t k = 0; k < PLANES; k++) {
        uint64_t bits = packed[k / 4] >> k % 4 & FIRST_BLOCK;

        q[k] ^= (bits << 4) - bits;
    }
}

/* Transposes the eight 8x8 bit matrices made of the octets with the same place in each word. */
static inline void transpose(uint64_t q[PLANES]) {
    static const uint64_t masks[3] = {0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f};

    for (size_t step = 0; step < 3; step++) {
        size_t distance = (size_t)1 << step;

        for (size_t i = 0; i < PLANES; i++) {
            if (i & distance) {
                continue;
            }
            uint64_t moved = (q[i] >> distance ^ q[i + distance]) & masks[step];

            q[i] ^= moved << distance;
            q[i + distance] ^= moved;
        }
    }
}

/* The octets of a word, each followed by an empty one. */
static inline uint64_t spread(uint32_t v) {
    uint64_t wide = (v | (uint64_t)v << 16) & 0x0000ffff0000ffff;

    return (wide | wide << 8) & 0x00ff00ff00ff00ff;
}

static inline uint32_t gather(uint64_t wide) {
    wide &= 0x00ff00ff00ff00ff;
    wide = (wide | wide >> 8) & 0x0000ffff0000ffff;
    return (uint32_t)(wide | wide >> 16);
}

static void slice(uint64_t q[PLANES], const uint8_t octets[BLOCKS * SRTP_BLOCK]) {
    for (size_t b = 0; b < BLOCKS; b++) {
        const uint8_t *block = octets + b * SRTP_BLOCK;

        q[b] = spread(load_le32(block)) | spread(load_le32(block + 8)) << 8;
        q[b + 4] = spread(load_le32(block + 4)) | spread(load_le32(block + 12)) << 8;
    }
    transpose(q);
}

static void unslice(uint8_t octets[BLOCKS * SRTP_BLOCK], uint64_t q[PLANES]) {
    transpose(q);
    for (size_t b = 0; b < BLOCKS; b++) {
        uint8_t *block = octets + b * SRTP_BLOCK;

        store_le32(block, gather(q[b]));
        store_le32(block + 4, gather(q[b + 4]));
        store_le32(block + 8, gather(q[b] >> 8));
        store_le32(block + 12, gather(q[b + 4] >> 8));
    }
}

static void encrypt(const srtp_key *key, uint8_t octets[BLOCKS * SRTP_BLOCK]) {
    const uint8_t *round_key = key->schedule;
    uint64_t q[PLANES];

    slice(q, octets);
    add_round_key(q, round_key);
    for (size_t round = 1; round < key->rounds; round++) {
        round_key += SRTP_BLOCK;
        sub_bytes(q);
        shift_rows(q);
        mix_columns(q);
        add_round_key(q, round_key);
    }
    sub_bytes(q);
    shift_rows(q);
    add_round_key(q, round_key + SRTP_BLOCK);
    unslice(octets, q);
    srtp_wipe(q, sizeof q);
}

void srtp_generic_ctr(const srtp_key *key, const uint8_t counter[SRTP_BLOCK], uint8_t *data, size_t len) {
    uint8_t stream[BLOCKS * SRTP_BLOCK];
    uint32_t number = load_be32(counter + 12);

    while (len > 0) {
        size_t take = len < sizeof stream ? len : sizeof stream;

        for (size_t b = 0; b < BLOCKS; b++) {
            memcpy(stream + b * SRTP_BLOCK, counter, 12);
            store_be32(stream + b * SRTP_BLOCK + 12, number++);
        }
        encrypt(key, stream);
        for (size_t i = 0; i < take; i++) {
            data[i] ^= stream[i];
        }
        data += take;
        len -= take;
    }
    srtp_wipe(stream, sizeof stream);
}

static uint32_t sub_word(uint32_t word) {
    uint8_t octets[BLOCKS * SRTP_BLOCK] = {0};
    uint64_t q[PLANES];

    store_le32(octets, word);
    slice(q, octets);
    sub_bytes(q);
    unslice(octets, q);
    word = load_le32(octets);
    srtp_wipe(octets, sizeof octets);
    srtp_wipe(q, sizeof q);
    return word;
}

static void pack_round_key(uint8_t round_key[SRTP_BLOCK]) {
    uint8_t octets[BLOCKS * SRTP_BLOCK] = {0};
    uint64_t packed[2] = {0, 0};
    uint64_t q[PLANES];

    memcpy(octets, round_key, SRTP_BLOCK);
    slice(q, octets);
    for (size_t k = 0; k < PLANES; k++) {
        packed[k / 4] |= (q[k] & FIRST_BLOCK) << k % 4;
    }
    memcpy(round_key, packed, sizeof packed);
    srtp_wipe(octets, sizeof octets);
    srtp_wipe(packed, sizeof packed);
    srtp_wipe(q, sizeof q);
}

void srtp_generic_set_cipher_key(srtp_key *key, enum srtp_cipher cipher, const uint8_t *octets, size_t key_len) {
    srtp_expand_key(key, octets, key_len, sub_word);
    for (size_t round = 0; round <= key->rounds; round++) {
        pack_round_key(key->schedule + round * SRTP_BLOCK);
    }
    if (cipher == SRTP_CIPHER_GCM) {
        static const uint8_t zero[SRTP_BLOCK];
        uint8_t h[SRTP_BLOCK] = {0};

        srtp_generic_ctr(key, zero, h, sizeof h);
        srtp_generic_set_ghash_key(key, h);
        srtp_wipe(h, sizeof h);
    }
}
