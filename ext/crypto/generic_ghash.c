/* GHASH in plain C and constant time: carry-less products out of integer products.
 *
 * An integer product carries. If of each factor only every fourth bit is kept, every fourth bit of the product
 * is the sum of at most 16 ones, whose carries run into the three empty bits behind it (and, where it is 16, out
 * of the word), so its lowest bit is the carry-less one. Four such parts of each factor make 16 products for the
 * low half of 128 bits. The high half is the low half of the product of the reversed factors, reversed. */
#include "octets.h"
#include "parts.h"

#define EVERY_FOURTH 0x1111111111111111u

/* A factor, the low and the high words apart and their sum (Karatsuba), each also reversed. */
typedef struct factor {
    uint64_t low, high, sum;
    uint64_t low_reversed, high_reversed, sum_reversed;
} factor;

static uint64_t reverse(uint64_t v) {
    v = (v & 0x5555555555555555) << 1 | (v >> 1 & 0x5555555555555555);
    v = (v & 0x3333333333333333) << 2 | (v >> 2 & 0x3333333333333333);
    v = (v & 0x0f0f0f0f0f0f0f0f) << 4 | (v >> 4 & 0x0f0f0f0f0f0f0f0f);
    v = (v & 0x00ff00ff00ff00ff) << 8 | (v >> 8 & 0x00ff00ff00ff00ff);
    v = (v & 0x0000ffff0000ffff) << 16 | (v >> 16 & 0x0000ffff0000ffff);
    return v << 32 | v >> 32;
}

static void make_factor(factor *f, uint64_t high, uint64_t low) {
    f->low = low;
    f->high = high;
    f->sum = low ^ high;
    f->low_reversed = reverse(low);
    f->high_reversed = reverse(high);
    f->sum_reversed = f->low_reversed ^ f->high_reversed;
}

/* The low 64 bits of the carry-less product. */
static uint64_t multiply_low(uint64_t a, uint64_t b) {
    uint64_t a0 = a & EVERY_FOURTH, a1 = a & EVERY_FOURTH << 1, a2 = a & EVERY_FOURTH << 2, a3 = a & EVERY_FOURTH << 3;
    uint64_t b0 = b & EVERY_FOURTH, b1 = b & EVERY_FOURTH << 1, b2 = b & EVERY_FOURTH << 2, b3 = b & EVERY_FOURTH << 3;

    return (((a0 * b0) ^ (a1 * b3) ^ (a2 * b2) ^ (a3 * b1)) & EVERY_FOURTH) |
           (((a0 * b1) ^ (a1 * b0) ^ (a2 * b3) ^ (a3 * b2)) & EVERY_FOURTH << 1) |
           (((a0 * b2) ^ (a1 * b1) ^ (a2 * b0) ^ (a3 * b3)) & EVERY_FOURTH << 2) |
           (((a0 * b3) ^ (a1 * b2) ^ (a2 * b1) ^ (a3 * b0)) & EVERY_FOURTH << 3);
}

/* The upper 64 of the 127 bits, from the reversed factors. */
static uint64_t multiply_high(uint64_t a_reversed, uint64_t b_reversed) {
    return reverse(multiply_low(a_reversed, b_reversed)) >> 1;
}

/* Adds word v, times x^128 of the reversed order, to the 128 bits that begin one word above it. */
static void fold(uint64_t v, uint64_t *next, uint64_t *second) {
    *next ^= v << 63 ^ v << 62 ^ v << 57;
    *second ^= v ^ v >> 1 ^ v >> 2 ^ v >> 7;
}

static void multiply(uint64_t y[2], const factor *h) {
    factor f;
    make_factor(&f, y[0], y[1]);
    uint64_t v0 = multiply_low(f.low, h->low);
    uint64_t v1 = multiply_high(f.low_reversed, h->low_reversed);
    uint64_t v2 = multiply_low(f.high, h->high);
    uint64_t v3 = multiply_high(f.high_reversed, h->high_reversed);
    uint64_t middle_low = multiply_low(f.sum, h->sum) ^ v0 ^ v2;
    uint64_t middle_high = multiply_high(f.sum_reversed, h->sum_reversed) ^ v1 ^ v3;

    v1 ^= middle_low;
    v2 ^= middle_high;
    fold(v0, &v1, &v2);
    fold(v1, &v2, &v3);
    y[0] = v3;
    y[1] = v2;
}

void srtp_generic_set_ghash_key(srtp_key *key, const uint8_t h[SRTP_BLOCK]) {
    uint64_t words[2];
    factor f;

    srtp_ghash_factor(h, words);
    make_factor(&f, words[0], words[1]);
    memset(key->powers, 0, sizeof key->powers);
    memcpy(key->powers, &f, sizeof f);
    srtp_wipe(&f, sizeof f);
    srtp_wipe(words, sizeof words);
}

void srtp_generic_ghash(const srtp_key *key, uint8_t y[SRTP_BLOCK], const uint8_t *data, size_t len) {
    uint64_t sum[2] = {load_be64(y), load_be64(y + 8)};
    factor h;

    memcpy(&h, key->powers, sizeof h);
    for (; len >= SRTP_BLOCK; len -= SRTP_BLOCK, data += SRTP_BLOCK) {
        sum[0] ^= load_be64(data);
        sum[1] ^= load_be64(data + 8);
        multiply(sum, &h);
    }
    if (len > 0) {
        uint8_t block[SRTP_BLOCK] = {0};

        memcpy(block, data, len);
        sum[0] ^= load_be64(block);
        sum[1] ^= load_be64(block + 8);
        multiply(sum, &h);
    }
    store_be64(y, sum[0]);
    store_be64(y + 8, sum[1]);
    srtp_wipe(&h, sizeof h);
    srtp_wipe(sum, sizeof sum);
}
