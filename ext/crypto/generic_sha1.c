/* SHA-1 in plain C (FIPS 180-4 6.1.2). */
#include "octets.h"
#include "parts.h"

static inline uint32_t rotate_left(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }

static inline uint32_t choose(uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); }

static inline uint32_t parity(uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; }

static inline uint32_t majority(uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (z & (x | y)); }

/* Word t; from the seventeenth on it takes the place of the one 16 before it. */
#define WORD(t)                                                                                                        \
    ((t) < 16                                                                                                          \
         ? w[(t) % 16]                                                                                                 \
         : (w[(t) % 16] = rotate_left(w[((t) + 13) % 16] ^ w[((t) + 8) % 16] ^ w[((t) + 2) % 16] ^ w[(t) % 16], 1)))

#define ROUND(a, b, c, d, e, function, constant, t)                                                                    \
    do {                                                                                                               \
        e += rotate_left(a, 5) + function(b, c, d) + (constant) + WORD(t);                                             \
        b = rotate_left(b, 30);                                                                                        \
    } while (0)

/* Five rounds bring the variables back to their names, so nothing is moved. */
#define FIVE_ROUNDS(t, function, constant)                                                                             \
    do {                                                                                                               \
        ROUND(a, b, c, d, e, function, constant, t);                                                                   \
        ROUND(e, a, b, c, d, function, constant, (t) + 1);                                                             \
        ROUND(d, e, a, b, c, function, constant, (t) + 2);                                                             \
        ROUND(c, d, e, a, b, function, constant, (t) + 3);                                                             \
        ROUND(b, c, d, e, a, function, constant, (t) + 4);                                                             \
    } while (0)

#define TWENTY_ROUNDS(t, function, constant)                                                                           \
    do {                                                                                                               \
        FIVE_ROUNDS(t, function, constant);                                                                            \
        FIVE_ROUNDS((t) + 5, function, constant);                                                                      \
        FIVE_ROUNDS((t) + 10, function, constant);                                                                     \
        FIVE_ROUNDS((t) + 15, function, constant);                                                                     \
    } while (0)

void srtp_sha1_generic(uint32_t state[SRTP_SHA1_WORDS], const uint8_t *blocks, size_t count) {
    uint32_t w[16];

    for (; count > 0; count--, blocks += SRTP_SHA1_BLOCK) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

        for (size_t i = 0; i < 16; i++) {
            w[i] = load_be32(blocks + 4 * i);
        }
        TWENTY_ROUNDS(0, choose, 0x5a827999);
        TWENTY_ROUNDS(20, parity, 0x6ed9eba1);
        TWENTY_ROUNDS(40, majority, 0x8f1bbcdc);
        TWENTY_ROUNDS(60, parity, 0xca62c1d6);
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
    }
    srtp_wipe(w, sizeof w);
}
