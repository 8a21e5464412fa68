/* Known answers. Published packets go through a tier one at a time, then batches of mixed keys and lengths, whole and
 * in part. Each is protected, then taken in three ways, in turn: forged, verified only, and decrypted. */
#include "known_answers.h"
#include "octets.h"
#include "parts.h"

enum { ROOM = 480, BATCH = 16, WAYS = 3 };

enum way { FORGED, VERIFIED_ONLY, DECRYPTED };

/* One packet: before and after protection, and the octets that the kernel works on. */
typedef struct slot {
    srtp_key key;
    srtp_job job;
    size_t len;      /* of data */
    size_t wire_len; /* of data, MKI and tag */
    uint8_t plain[ROOM];
    uint8_t wire[ROOM];
    uint8_t octets[ROOM + SRTP_TAIL_ROOM];
} slot;

static uint8_t digit(char c) { return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

static size_t from_hex(uint8_t *out, const char *text) {
    size_t len = strlen(text) / 2;

    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
    }
    return len;
}

static void set_keys(const srtp_kernels *kernels, slot *s, enum srtp_cipher cipher, const uint8_t *key, size_t key_len,
                     const uint8_t *auth_key, size_t auth_len) {
    memset(&s->key, 0, sizeof s->key);
    s->key.live = 1;
    s->key.cipher = (uint8_t)cipher;
    kernels->set_cipher_key(&s->key, cipher, key, key_len);
    kernels->set_auth_key(&s->key, auth_key, auth_len);
    s->job.key = &s->key;
}

/* Checks the octets of a slot after unprotect: untouched but for a decrypted packet. */
static int is_right(const slot *s, enum way way) {
    size_t tag_at = s->wire_len - s->job.tag_len;
    int refused = way == FORGED && s->job.tag_len > 0;
    const uint8_t *expected = refused || way == VERIFIED_ONLY ? s->wire : s->plain;

    return s->job.good == !refused && srtp_equal(s->job.data, expected, s->len) &&
           srtp_equal(s->job.data + s->len, s->wire + s->len, tag_at - s->len);
}

static int check_slots(const srtp_kernels *kernels, enum srtp_cipher cipher, slot *slots, size_t count) {
    int gcm = cipher == SRTP_CIPHER_GCM;
    int right = 1;
    srtp_job *jobs[BATCH];

    for (size_t i = 0; i < count; i++) {
        slot *s = &slots[i];

        s->job.data = s->octets + 1 + i % 4;
        s->job.tag = s->job.data + s->wire_len - s->job.tag_len;
        memcpy(s->job.data, s->wire, s->wire_len); /* for the MKI */
        memcpy(s->job.data, s->plain, s->len);
        memset(s->job.tag, 0, s->job.tag_len);
        jobs[i] = &s->job;
    }
    (gcm ? kernels->protect_gcm : kernels->protect_cm)(jobs, count);
    for (size_t i = 0; i < count; i++) {
        right &= srtp_equal(slots[i].job.data, slots[i].wire, slots[i].wire_len);
    }
    for (size_t turn = 0; turn < WAYS; turn++) {
        for (size_t i = 0; i < count; i++) {
            slot *s = &slots[i];
            enum way way = (enum way)((turn + i) % WAYS);

            memcpy(s->job.data, s->wire, s->wire_len);
            s->job.verify_only = way == VERIFIED_ONLY;
            if (way == FORGED && s->job.tag_len > 0) {
                s->job.tag[(turn + i) % s->job.tag_len] ^= (uint8_t)(1 << i % 8);
            }
        }
        (gcm ? kernels->unprotect_gcm : kernels->unprotect_cm)(jobs, count);
        for (size_t i = 0; i < count; i++) {
            right &= is_right(&slots[i], (enum way)((turn + i) % WAYS));
        }
    }
    return right;
}

static int check_keystream(const srtp_kernels *kernels, const struct keystream_answer *answer) {
    srtp_key key;
    uint8_t octets[32], iv[16], expected[128], stream[128];
    size_t key_len = from_hex(octets, answer->key);
    size_t len = from_hex(expected, answer->stream);

    memset(&key, 0, sizeof key);
    from_hex(iv, answer->iv);
    kernels->set_cipher_key(&key, SRTP_CIPHER_CM, octets, key_len);
    kernels->keystream(&key, iv, stream, len);
    return srtp_equal(stream, expected, len);
}

static int check_packet(const srtp_kernels *kernels, const struct packet_answer *answer, slot *s) {
    uint8_t key[32], auth_key[SRTP_SHA1_BLOCK];
    size_t key_len = from_hex(key, answer->key);
    size_t auth_len = from_hex(auth_key, answer->auth_key);

    memset(&s->job, 0, sizeof s->job);
    set_keys(kernels, s, answer->cipher, key, key_len, auth_key, auth_len);
    s->len = from_hex(s->plain, answer->plain);
    s->wire_len = from_hex(s->wire, answer->wire);
    s->job.clear_len = answer->clear_len;
    s->job.cipher_len = answer->cipher_len;
    s->job.auth_len = answer->cipher == SRTP_CIPHER_GCM ? answer->clear_len : (uint32_t)s->len;
    s->job.tag_len = answer->tag_len;
    s->job.trailer_len = (uint8_t)from_hex(s->job.trailer, answer->trailer);
    from_hex(s->job.iv, answer->iv);
    return check_slots(kernels, answer->cipher, s, 1);
}

static void fill(uint8_t *octets, size_t len, size_t start) {
    for (size_t i = 0; i < len; i++) {
        octets[i] = (uint8_t)(start + 7 * i);
    }
}

/* The ciphertext expected is made with keystream, which has been compared with published answers by then. */
static void lay_down(const srtp_kernels *kernels, enum srtp_cipher cipher, const batch_answer *answer, size_t number,
                     slot *s) {
    uint8_t key[32], auth_key[SRTP_HMAC_SHA1_LEN], counter[SRTP_BLOCK] = {0}, stream[ROOM];
    int gcm = cipher == SRTP_CIPHER_GCM;
    size_t key_len = 16 + 8 * (number % 3);

    fill(key, key_len, number);
    fill(auth_key, sizeof auth_key, 100 + number);
    memset(&s->job, 0, sizeof s->job);
    set_keys(kernels, s, cipher, key, key_len, auth_key, sizeof auth_key);
    fill(s->job.iv, gcm ? 12 : 14, 50 + number);
    fill(s->job.trailer, sizeof s->job.trailer, 200 + number);
    s->len = (size_t)answer->clear_len + answer->cipher_len;
    s->wire_len = s->len + answer->tag_len;
    s->job.clear_len = answer->clear_len;
    s->job.cipher_len = answer->cipher_len;
    s->job.auth_len = gcm ? answer->clear_len : (uint32_t)s->len;
    s->job.trailer_len = answer->trailer_len;
    s->job.tag_len = answer->tag_len;

    fill(s->plain, s->len, 3 * number);
    memcpy(s->wire, s->plain, s->len);
    memcpy(counter, s->job.iv, sizeof counter);
    counter[15] = gcm ? 2 : 0;
    kernels->keystream(&s->key, counter, stream, answer->cipher_len);
    for (size_t i = 0; i < answer->cipher_len; i++) {
        s->wire[answer->clear_len + i] ^= stream[i];
    }
    from_hex(s->wire + s->len, answer->tag);
}

static int check_batch(const srtp_kernels *kernels, enum srtp_cipher cipher, const batch_answer *answers, slot *slots) {
    int right = 1;

    for (size_t i = 0; i < BATCH; i++) {
        lay_down(kernels, cipher, &answers[i], i, &slots[i]);
    }
    /* how many packets there are decides how they are hashed */
    for (size_t count = BATCH; count > 0; count /= 2) {
        right &= check_slots(kernels, cipher, slots, count);
    }
    return right;
}

_Static_assert(sizeof cm_batch / sizeof cm_batch[0] == BATCH, "one slot for each answer");
_Static_assert(sizeof cm_even_batch / sizeof cm_even_batch[0] == BATCH, "one slot for each answer");
_Static_assert(sizeof gcm_batch / sizeof gcm_batch[0] == BATCH, "one slot for each answer");

const char *srtp_self_test(const srtp_kernels *kernels) {
    slot slots[BATCH];

    memset(slots, 0, sizeof slots);
    for (size_t i = 0; i < sizeof keystream_answers / sizeof keystream_answers[0]; i++) {
        if (!check_keystream(kernels, &keystream_answers[i])) {
            return keystream_answers[i].name;
        }
    }
    for (size_t i = 0; i < sizeof packet_answers / sizeof packet_answers[0]; i++) {
        if (!check_packet(kernels, &packet_answers[i], &slots[0])) {
            return packet_answers[i].name;
        }
    }
    if (!check_batch(kernels, SRTP_CIPHER_CM, cm_batch, slots)) {
        return "AES-CM with HMAC-SHA1, batch of mixed keys and lengths";
    }
    if (!check_batch(kernels, SRTP_CIPHER_CM, cm_even_batch, slots)) {
        return "AES-CM with HMAC-SHA1, batch of mixed keys and even lengths";
    }
    if (!check_batch(kernels, SRTP_CIPHER_GCM, gcm_batch, slots)) {
        return "AES-GCM, batch of mixed keys and lengths";
    }
    return NULL;
}
