/* SHA-1 in plain C (FIPS 180-4 6.1.2). */
#include "octets.h"
#include "parts.h"

enum { ROUNDS = 80, ROUNDS_PER_FUNCTION = 20 };

static inline uint32_t rotate_left(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }

static inline uint32_t choose(uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); }

static inline uint32_t parity(uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; }

static inline uint32_t majority(uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (z & (x | y)); }

#define ROUND(a, b, c, d, e, function, constant, word)                                                                 \
    do {                                                                                                               \
        e += rotate_left(a, 5) + function(b, c, d) + (constant) + (word);                                              \
        b = rotate_left(b, 30);                                                                                        \
    } while (0)

/* Five rounds bring the variables back to their names, so nothing is moved. */
#define TWENTY_ROUNDS(first, function, constant)                                                                       \
    for (size_t t = (first); t < (first) + ROUNDS_PER_FUNCTION; t += 5) {                                              \
        ROUND(a, b, c, d, e, function, constant, words[t]);                                                            \
        ROUND(e, a, b, c, d, function, constant, words[t + 1]);                                                        \
        ROUND(d, e, a, b, c, function, constant, words[t + 2]);                                                        \
        ROUND(c, d, e, a, b, function, constant, words[t + 3]);                                                        \
        ROUND(b, c, d, e, a, function, constant, words[t + 4]);                                                        \
    }

static void compress(uint32_t state[SRTP_SHA1_WORDS], const uint32_t words[ROUNDS]) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    TWENTY_ROUNDS(0, choose, 0x5a827999)
    TWENTY_ROUNDS(20, parity, 0x6ed9eba1)
    TWENTY_ROUNDS(40, majority, 0x8f1bbcdc)
    TWENTY_ROUNDS(60, parity, 0xca62c1d6)
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void srtp_sha1_generic(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count) {
    uint32_t words[ROUNDS];

    for (; count > 0; count--, blocks += SRTP_SHA1_BLOCK) {
        for (size_t t = 0; t < 16; t++) {
            words[t] = load_be32(blocks + 4 * t);
        }
        for (size_t t = 16; t < ROUNDS; t++) {
            words[t] = rotate_left(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1);
        }
        compress(state, words);
    }
    srtp_wipe(words, sizeof words);
}
