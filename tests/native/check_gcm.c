/* Holds the AES-GCM functions of one kernel tier against `generic`: test_gcm_shapes.py builds and runs it.
 *
 *     check_gcm TIER
 *
 * Every packet ends right before a page that cannot be touched, but for the tail room promised behind its tag. Prints
 * the number of packets compared; or the first difference, with status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "octets.h"
#include "parts.h"

enum {
    MOST = 64,      /* packets of a batch */
    PAGE = 4096,
    ROOM = 4 * PAGE,
    FRONT = 64,     /* octets before a packet that are looked at */
    FILLING = 0xa5,
};

/* What becomes of a packet between protect and unprotect */
enum fate { GOOD, ONLY_VERIFIED, WRONG_TAG, WRONG_PAYLOAD, WRONG_AAD, FATES };

typedef struct slot {
    srtp_key key, plain_key;
    srtp_job job;
    uint32_t len;          /* of header and payload */
    uint8_t *end;          /* of the memory that may be touched */
    uint8_t before[ROOM];  /* header and payload */
    uint8_t wire[ROOM];    /* the same, protected by generic, and the tag */
} slot;

static slot slots[MOST];
static size_t filled, batch_size, packets;
static const srtp_kernels *tier;

static uint32_t draw(uint32_t below) {
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static void draw_octets(uint8_t *octets, size_t len) {
    for (size_t i = 0; i < len; i++) {
        octets[i] = (uint8_t)draw(256);
    }
}

static void fail(const slot *s, const char *text) {
    fprintf(stderr, "%s: AAD %u and trailer %u, payload %u, %u rounds, packet %d of %zu, address %% 64 = %zu\n", text,
            s->job.auth_len, s->job.trailer_len, s->job.cipher_len, s->key.rounds, (int)(s - slots), filled,
            (size_t)((uintptr_t)s->job.data % 64));
    exit(1);
}

static void make_rooms(void) {
    for (size_t i = 0; i < MOST; i++) {
        uint8_t *pages = mmap(NULL, ROOM + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (pages == MAP_FAILED || mprotect(pages, ROOM, PROT_READ | PROT_WRITE) != 0) {
            perror("mmap");
            exit(2);
        }
        slots[i].end = pages + ROOM;
    }
}

static void compare(const slot *s, const uint8_t *expected, size_t expected_len, const char *text) {
    const uint8_t *data = s->job.data;

    if (memcmp(data, expected, expected_len) != 0) {
        fail(s, text);
    }
    for (size_t i = 1; i <= FRONT; i++) {
        if (data[-(ptrdiff_t)i] != FILLING) {
            fail(s, "wrote before the packet");
        }
    }
}

static void protect(void) {
    srtp_job *jobs[MOST], plain, *plain_job = &plain;

    for (size_t i = 0; i < filled; i++) {
        slot *s = &slots[i];

        jobs[i] = &s->job;
        memcpy(s->wire, s->before, s->len);
        plain = s->job;
        plain.key = &s->plain_key;
        plain.data = s->wire;
        plain.tag = s->wire + s->len;
        srtp_kernels_generic.protect_gcm(&plain_job, 1);
    }
    tier->protect_gcm(jobs, filled);
    for (size_t i = 0; i < filled; i++) {
        compare(&slots[i], slots[i].wire, slots[i].len + SRTP_GCM_TAG_LEN, "protected");
    }
}

/* A wrong bit, if it is to be one and there is such an octet. 1 if there is one now. */
static int spoil(slot *s, enum fate fate) {
    uint32_t from = fate == WRONG_TAG ? s->len : fate == WRONG_PAYLOAD ? s->job.clear_len : 0;
    uint32_t to = fate == WRONG_TAG ? s->len + SRTP_GCM_TAG_LEN : fate == WRONG_PAYLOAD ? s->len : s->job.clear_len;
    uint32_t at;

    if (fate < WRONG_TAG || from == to) {
        return 0;
    }
    at = from + draw(to - from);
    s->job.data[at] ^= (uint8_t)(1 << draw(8));
    return 1;
}

static void unprotect(const enum fate fates[MOST]) {
    srtp_job *jobs[MOST];
    uint8_t wrong[MOST];

    for (size_t i = 0; i < filled; i++) {
        slot *s = &slots[i];

        jobs[i] = &s->job;
        memcpy(s->job.data, s->wire, s->len + SRTP_GCM_TAG_LEN);
        wrong[i] = (uint8_t)spoil(s, fates[i]);
        s->job.verify_only = fates[i] == ONLY_VERIFIED;
        s->job.good = wrong[i]; /* the other one than it is to become */
        memcpy(s->wire, s->job.data, s->len + SRTP_GCM_TAG_LEN);
    }
    tier->unprotect_gcm(jobs, filled);
    for (size_t i = 0; i < filled; i++) {
        const slot *s = &slots[i];
        int opened = !wrong[i] && !s->job.verify_only;

        if (s->job.good == wrong[i]) {
            fail(s, wrong[i] ? "accepted" : "refused");
        }
        compare(s, opened ? s->before : s->wire, s->len, opened ? "unprotected" : "changed");
    }
}

/* All fates, each packet having another one each time. */
static void run(void) {
    enum fate fates[MOST];

    for (unsigned turn = 0; turn < FATES; turn++) {
        for (size_t i = 0; i < filled; i++) {
            fates[i] = (enum fate)((i + turn) % FATES);
            memcpy(slots[i].job.data, slots[i].before, slots[i].len);
        }
        protect();
        unprotect(fates);
    }
    packets += FATES * filled;
    filled = 0;
}

/* One more packet for the batch, which is run when it is full. */
static void add(uint32_t aad, uint32_t trailer, uint32_t payload, uint32_t gap) {
    slot *s = &slots[filled];
    uint8_t octets[32];
    size_t key_len = 16 + 8 * (size_t)draw(3);

    memset(&s->key, 0, sizeof s->key);
    memset(&s->plain_key, 0, sizeof s->plain_key);
    draw_octets(octets, sizeof octets);
    tier->set_cipher_key(&s->key, SRTP_CIPHER_GCM, octets, key_len);
    srtp_kernels_generic.set_cipher_key(&s->plain_key, SRTP_CIPHER_GCM, octets, key_len);

    s->len = aad + payload;
    draw_octets(s->before, s->len);
    memset(&s->job, 0, sizeof s->job);
    s->job.key = &s->key;
    s->job.data = s->end - SRTP_TAIL_ROOM - gap - SRTP_GCM_TAG_LEN - s->len;
    memset(s->job.data - FRONT, FILLING, (size_t)(s->end - s->job.data) + FRONT);
    s->job.tag = s->job.data + s->len;
    s->job.clear_len = s->job.auth_len = aad;
    s->job.cipher_len = payload;
    s->job.trailer_len = (uint8_t)trailer;
    s->job.tag_len = SRTP_GCM_TAG_LEN;
    draw_octets(s->job.trailer, sizeof s->job.trailer);
    draw_octets(s->job.iv, sizeof s->job.iv); /* the last four octets mean nothing */
    if (++filled == batch_size) {
        run();
    }
}

/* Each length of AAD around the blocks, and around what fits before the payload, with each length of payload there. */
static void check_aad(void) {
    static const uint16_t aads[] = {0,  1,  4,  8,  11, 12, 13, 15, 16,  17,  20,  28,  31,  32,  33,  47,  48,
                                    49, 60, 63, 64, 65, 76, 80, 97, 111, 112, 113, 127, 128, 129, 255, 256, 257};

    for (size_t i = 0; i < sizeof aads / sizeof aads[0]; i++) {
        for (uint32_t payload = 0; payload <= 272; payload += payload % 16 < 2 ? 1 : payload % 16 == 2 ? 13 : 1) {
            add(aads[i], 4 * (uint32_t)draw(2), payload, 0);
        }
    }
}

/* All lengths up to the blocks of two groups and more; around the buffers in which plaintext waits; around the carries
 * out of the last octet of the counter; and long ones. */
static void check_payloads(void) {
    static const uint16_t ranges[][2] = {{0, 660},     {1180, 1220}, {1440, 1510}, {1900, 2120},
                                         {3800, 4130}, {8060, 8200}, {8990, 9010}};

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (uint32_t payload = ranges[i][0]; payload < ranges[i][1]; payload++) {
            add(12 + 4 * draw(5), 0, payload, draw(4));
        }
    }
}

static void check_places(void) {
    for (uint32_t gap = 0; gap < 64; gap++) {
        add(12, 0, 160, gap);
        add(12, 0, draw(300), gap);
        add(8, 4, 52, gap);
        add(20, 0, 1200, gap);
    }
}

int main(int count, char **arguments) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, MOST};

    tier = count == 2 ? srtp_choose_kernels(arguments[1]) : NULL;
    if (tier == NULL) {
        fprintf(stderr, "usage: check_gcm TIER, which this CPU must have\n");
        return 2;
    }
    make_rooms();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        batch_size = sizes[i];
        check_places();
        if (batch_size == 1 || batch_size == 5 || batch_size == MOST) {
            check_aad();
            check_payloads();
        }
        run(); /* what is left */
    }
    printf("%zu\n", packets);
    return 0;
}
