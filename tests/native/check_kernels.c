/* Holds one kernel tier against `generic`, packet for packet: test_kernel_lengths.py builds and runs it.
 *
 *     check_kernels TIER SEED         TIER as in SRTPGW_KERNELS, with what is to be hidden of the CPU: aesni,no-sha
 *
 * Every packet lies right before a page that cannot be touched, but for the tail room promised behind its tag and up to
 * 63 octets that put it at any place of a cache line; or right behind such a page. What lies around it must not change.
 * Prints the number of packets compared; or the first difference, with status 1. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "octets.h"
#include "parts.h"

enum {
    MOST = 150,           /* packets at a time: more than two batches */
    PAGE = 4096,
    ROOM = 18 * PAGE,     /* a datagram, and what lies around it */
    LONGEST = 65 * 1024,
    LINE = 64,
    MARGIN = 256,         /* octets before and behind a packet that are looked at */
    FILLING = 0xa5,
};

typedef struct shape {
    uint32_t clear_len, cipher_len;
    uint8_t trailer_len, tag_len, mki_len;
    uint8_t place;        /* so many octets between the tail room and the end of the page */
    uint8_t at_front;     /* right behind a page that cannot be touched instead */
} shape;

/* One packet, as the tier works on it and as generic does */
typedef struct slot {
    srtp_key key, plain_key;
    srtp_job job, plain_job;
    uint32_t wire_len;    /* from the first octet to behind the tag */
    uint32_t before, behind; /* octets of room around it that are looked at */
    uint8_t *room;        /* ROOM octets between two pages that cannot be touched */
    uint8_t *other;       /* LONGEST octets for generic */
    uint8_t *sent;        /* LONGEST octets: the packet before unprotect */
} slot;

static slot slots[MOST];
static const srtp_kernels *tier;
static const char *what = "";
static enum srtp_cipher cipher;
static size_t packets;
static uint64_t random_state;

static void fail(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "%s: ", what);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t draw_word(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint32_t draw(uint32_t below) { return (uint32_t)(draw_word() >> 32) % below; }

static void draw_octets(uint8_t *octets, size_t len) {
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        uint64_t word = draw_word();

        memcpy(octets + i, &word, len - i < sizeof word ? len - i : sizeof word);
    }
}

static void make_rooms(void) {
    for (size_t i = 0; i < MOST; i++) {
        uint8_t *pages = mmap(NULL, ROOM + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (pages == MAP_FAILED || mprotect(pages + PAGE, ROOM, PROT_READ | PROT_WRITE) != 0) {
            fail("no memory");
        }
        slots[i].room = pages + PAGE;
        slots[i].other = malloc(LONGEST + SRTP_TAIL_ROOM);
        slots[i].sent = malloc(LONGEST);
    }
}

static void set_keys(slot *s, size_t key_len) {
    uint8_t octets[32], auth[20];

    draw_octets(octets, sizeof octets);
    draw_octets(auth, sizeof auth);
    memset(&s->key, 0, sizeof s->key);
    memset(&s->plain_key, 0, sizeof s->plain_key);
    s->key.cipher = (uint8_t)cipher;
    tier->set_cipher_key(&s->key, cipher, octets, key_len);
    tier->set_auth_key(&s->key, auth, sizeof auth);
    srtp_kernels_generic.set_cipher_key(&s->plain_key, cipher, octets, key_len);
    srtp_kernels_generic.set_auth_key(&s->plain_key, auth, sizeof auth);
}

/* A packet of random octets, the same for both */
static void lay_down(slot *s, const shape *form) {
    uint32_t len = form->clear_len + form->cipher_len, start, rest;

    if (s->key.rounds == 0 || s->key.cipher != cipher || draw(4) == 0) {
        set_keys(s, 16 + 8 * draw(3));
    }
    s->wire_len = len + form->mki_len + form->tag_len;
    rest = (uint32_t)ROOM - s->wire_len;
    start = form->at_front ? 0 : rest - SRTP_TAIL_ROOM - form->place;
    s->before = start < MARGIN ? start : MARGIN;
    s->behind = rest - start < MARGIN ? rest - start : MARGIN;
    memset(s->room + start - s->before, FILLING, s->before + s->wire_len + s->behind);
    memset(&s->job, 0, sizeof s->job);
    s->job.key = &s->key;
    s->job.data = s->room + start;
    s->job.tag = s->job.data + s->wire_len - form->tag_len;
    s->job.clear_len = form->clear_len;
    s->job.cipher_len = form->cipher_len;
    s->job.auth_len = cipher == SRTP_CIPHER_GCM ? form->clear_len : len;
    s->job.trailer_len = form->trailer_len;
    s->job.tag_len = form->tag_len;
    draw_octets(s->job.trailer, sizeof s->job.trailer);
    draw_octets(s->job.iv, cipher == SRTP_CIPHER_GCM ? 12 : 14);
    draw_octets(s->job.data, s->wire_len);
    memcpy(s->other, s->job.data, s->wire_len);
    s->plain_job = s->job;
    s->plain_job.key = &s->plain_key;
    s->plain_job.data = s->other;
    s->plain_job.tag = s->other + s->wire_len - form->tag_len;
}

static void compare(size_t i, size_t count, const char *after) {
    const slot *s = &slots[i];
    const uint8_t *data = s->job.data, *end = data + s->wire_len;

    for (uint32_t at = 0; memcmp(data, s->other, s->wire_len) != 0; at++) {
        if (data[at] != s->other[at]) {
            fail("%s, packet %zu of %zu: octet %u of %u + %u, trailer %u, tag %u, rounds %u", after, i, count, at,
                 s->job.clear_len, s->job.cipher_len, s->job.trailer_len, s->job.tag_len, s->key.rounds);
        }
    }
    for (const uint8_t *p = data - s->before; p < data; p++) {
        if (*p != FILLING) {
            fail("%s, packet %zu of %zu: wrote before the packet", after, i, count);
        }
    }
    for (uint32_t at = SRTP_TAIL_ROOM; at < s->behind; at++) {
        if (end[at] != FILLING) {
            fail("%s, packet %zu of %zu: wrote %u octets behind the tag", after, i, count, at);
        }
    }
}

static void run(size_t count, int protect) {
    srtp_job *jobs[MOST], *plain_jobs[MOST];
    const srtp_kernels *sides[2] = {tier, &srtp_kernels_generic};

    for (size_t i = 0; i < count; i++) {
        jobs[i] = &slots[i].job;
        plain_jobs[i] = &slots[i].plain_job;
    }
    for (size_t side = 0; side < 2; side++) {
        const srtp_kernels *k = sides[side];
        srtp_run gcm = protect ? k->protect_gcm : k->unprotect_gcm;
        srtp_run cm = protect ? k->protect_cm : k->unprotect_cm;

        (cipher == SRTP_CIPHER_GCM ? gcm : cm)(side == 0 ? jobs : plain_jobs, count);
    }
    for (size_t i = 0; i < count; i++) {
        compare(i, count, protect ? "protected" : "unprotected");
    }
    packets += count;
}

/* Unprotects with the packets forged for which (number - first) % step is 0. The bit that is wrong lies anywhere under
 * the tag or in it. */
static void unprotect(size_t count, size_t first, size_t step, size_t verify_step) {
    for (size_t i = 0; i < count; i++) {
        slot *s = &slots[i];
        int forged = s->job.tag_len > 0 && step > 0 && i % step == first % step;
        uint32_t tag_at = s->wire_len - s->job.tag_len;
        uint32_t covered = cipher == SRTP_CIPHER_GCM ? s->job.clear_len + s->job.cipher_len : s->job.auth_len;
        uint32_t at = covered > 0 && draw(4) == 0 ? draw(covered) : tag_at + draw(s->job.tag_len ? s->job.tag_len : 1);

        if (forged) {
            uint8_t bit = (uint8_t)(1 << draw(8));
            s->job.data[at] ^= bit;
            s->other[at] ^= bit;
        }
        s->job.verify_only = s->plain_job.verify_only = verify_step > 0 && i % verify_step == 0;
        s->job.good = s->plain_job.good = 2;
        memcpy(s->sent, s->job.data, s->wire_len);
    }
    run(count, 0);
    for (size_t i = 0; i < count; i++) {
        slot *s = &slots[i];
        int forged = s->job.tag_len > 0 && step > 0 && i % step == first % step;

        if (s->job.good != !forged || s->job.good != s->plain_job.good) {
            fail("packet %zu of %zu: good is %u", i, count, s->job.good);
        }
        if ((forged || s->job.verify_only) && memcmp(s->sent, s->job.data, s->wire_len) != 0) {
            fail("packet %zu of %zu: changed, though %s", i, count, forged ? "forged" : "only verified");
        }
    }
}

static void there_and_back(size_t count) {
    run(count, 1);
    unprotect(count, 0, 0, 0);
}

static shape draw_shape(uint32_t clear_len, uint32_t cipher_len) {
    static const uint8_t tags[] = {10, 10, 10, 4, 0};

    return (shape){
        .clear_len = clear_len,
        .cipher_len = cipher_len,
        .trailer_len = (uint8_t)(4 * draw(2)),
        .tag_len = cipher == SRTP_CIPHER_GCM ? SRTP_GCM_TAG_LEN : tags[draw(5)],
        .mki_len = (uint8_t)(draw(4) == 0 && cipher == SRTP_CIPHER_CM ? draw(SRTP_MKI_MAX) : 0),
        .place = (uint8_t)(draw(2) ? 0 : draw(LINE)),
        .at_front = (uint8_t)(draw(8) == 0),
    };
}

/* Every length up to nine blocks of SHA-1, and around the multiples of the longest vectors; with the ROC and without,
 * so that the padding goes through 55, 56, 63 and 64 octets of the last block. */
static void check_lengths(void) {
    static const uint32_t long_ones[] = {1023, 1024, 1025, 1200, 1452, 1971, 1972, 2048, 4095, 9000, 65000};

    static const size_t counts[] = {1, 2, 5, 16};

    what = "lengths";
    for (uint32_t i = 0; i < 580 + sizeof long_ones / sizeof long_ones[0]; i++) {
        uint32_t len = i < 580 ? i : long_ones[i - 580];

        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            for (size_t j = 0; j < counts[c]; j++) {
                shape form = draw_shape(12, len);

                form.tag_len = cipher == SRTP_CIPHER_GCM ? SRTP_GCM_TAG_LEN : 10;
                form.trailer_len = (uint8_t)(4 * (i + j) % 8);
                lay_down(&slots[j], &form);
            }
            there_and_back(counts[c]);
        }
    }
    for (uint32_t clear = 0; clear < 200; clear++) {
        shape form = draw_shape(clear, clear % 3 ? 0 : draw(100));

        lay_down(&slots[0], &form);
        there_and_back(1);
    }
}

/* All places in a cache line, ends of pages included */
static void check_places(void) {
    what = "places";
    for (uint32_t place = 0; place < LINE; place++) {
        for (size_t i = 0; i < 17; i++) {
            shape form = draw_shape(12, (uint32_t)(20 + 11 * i));

            form.place = (uint8_t)((place + i) % LINE);
            lay_down(&slots[i], &form);
        }
        there_and_back(17);
    }
}

static uint32_t draw_length(void) {
    switch (draw(8)) {
    case 0:
        return draw(40);
    case 1:
        return 1000 + draw(460);
    case 2:
        return draw(300);
    case 3:
        return draw(20) == 0 ? 1900 + draw(8000) : 20;
    default:
        return 160;
    }
}

/* Batches that leave lanes empty, fill them once and more, with packets of all kinds in any order */
static void check_counts(void) {
    what = "counts";
    for (size_t count = 1; count <= MOST; count += count < 70 ? 1 : 7) {
        for (size_t turn = 0; turn < 3; turn++) {
            for (size_t i = 0; i < count; i++) {
                shape form = draw_shape(12 + 4 * draw(4), turn == 0 ? 160 : draw_length());

                lay_down(&slots[i], &form);
            }
            run(count, 1);
            unprotect(count, draw(7), 7, turn == 1 ? 3 : 0);
        }
    }
}

/* One wrong tag, at every place of a batch; and all wrong but one, which is the same the other way round */
static void check_forged(void) {
    static const size_t counts[] = {1, 2, 3, 5, 8, 9, 15, 16, 17, 31, 33, 64, 65};

    what = "forged";
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (size_t wrong = 0; wrong < counts[c]; wrong++) {
            for (size_t i = 0; i < counts[c]; i++) {
                shape form = draw_shape(12, wrong % 2 ? 160 : draw(200));

                form.tag_len = cipher == SRTP_CIPHER_GCM ? SRTP_GCM_TAG_LEN : i % 3 ? 10 : 4;
                lay_down(&slots[i], &form);
            }
            run(counts[c], 1);
            unprotect(counts[c], wrong, counts[c], 0);
        }
    }
}

static void check_keystream(void) {
    uint8_t iv[SRTP_BLOCK], stream[1000], expected[1000];

    what = "keystream";
    for (size_t len = 0; len <= sizeof stream; len++) {
        slot *s = &slots[0];

        set_keys(s, 16 + 8 * (len % 3));
        draw_octets(iv, sizeof iv);
        iv[14] = 0; /* no carry out of the 16 bits that count */
        tier->keystream(&s->key, iv, stream, len);
        srtp_kernels_generic.keystream(&s->plain_key, iv, expected, len);
        if (memcmp(stream, expected, len) != 0) {
            fail("%zu octets", len);
        }
    }
}

static void check_all(enum srtp_cipher which) {
    cipher = which;
    check_lengths();
    check_places();
    check_counts();
    check_forged();
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: check_kernels TIER SEED\n");
        return 2;
    }
    tier = srtp_choose_kernels(arguments[1]);
    if (tier == NULL) {
        fprintf(stderr, "%s: not here\n", arguments[1]);
        return 2;
    }
    random_state = strtoull(arguments[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    make_rooms();
    cipher = SRTP_CIPHER_CM;
    check_keystream();
    check_all(SRTP_CIPHER_CM);
    check_all(SRTP_CIPHER_GCM);
    what = srtp_self_test(tier);
    if (what != NULL) {
        fail("known answer");
    }
    printf("%zu\n", packets);
    return 0;
}
