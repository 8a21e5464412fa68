/* Key material in the form that all tiers start from. */
#include "octets.h"
#include "parts.h"

void srtp_expand_key(srtp_key *key, const uint8_t *octets, size_t key_len, uint32_t (*sub_word)(uint32_t)) {
    size_t key_words = key_len / 4;
    size_t words = 4 * (key_words + 7);
    uint32_t word = 0;
    uint32_t constant = 1;

    key->rounds = (uint8_t)(key_words + 6);
    memcpy(key->schedule, octets, key_len);
    word = load_le32(key->schedule + key_len - 4);
    for (size_t i = key_words; i < words; i++) {
        if (i % key_words == 0) {
            /* RotWord: the first octet is the lowest here */
            word = sub_word(word >> 8 | word << 24) ^ constant;
            constant = (constant << 1) ^ (constant >> 7) * 0x11b;
        } else if (key_words > 6 && i % key_words == 4) {
            word = sub_word(word);
        }
        word ^= load_le32(key->schedule + 4 * (i - key_words));
        store_le32(key->schedule + 4 * i, word);
    }
}

void srtp_ghash_factor(const uint8_t h[SRTP_BLOCK], uint64_t factor[2]) {
    uint64_t high = load_be64(h);
    uint64_t low = load_be64(h + 8);
    /* The coefficient of 1 is the top bit. Where it is set, the field polynomial x^128 + x^7 + x^2 + x + 1 is
     * added first, which leaves x^127 + x^6 + x + 1 after the division. */
    uint64_t odd = 0 - (high >> 63);

    factor[0] = (high << 1 | low >> 63) ^ (odd & 0xc200000000000000);
    factor[1] = (low << 1) ^ (odd & 1);
}
