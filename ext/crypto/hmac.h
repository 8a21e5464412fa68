/* HMAC-SHA1 of several packets at a time: what the files that hash them have in common. Internal to ext/crypto. */
#ifndef SRTPGW_HMAC_H
#define SRTPGW_HMAC_H

#include "octets.h"
#include "parts.h"

enum { SRTP_SHA1_PAD = 0x80 };

/* What ends the inner hash: the octets of the packet behind its last whole block, the trailer, and the padding of
 * FIPS 180-4 5.1.1. One or two blocks, and room to write a block of zeros at any offset. */
typedef struct srtp_hmac_end {
    uint8_t octets[3 * SRTP_SHA1_BLOCK];
} __attribute__((aligned(64))) srtp_hmac_end;

/* Blocks of the inner hash that lie in the packet as they are, and with those of its end */
static inline uint32_t srtp_whole_blocks(const srtp_job *job) { return job->auth_len / SRTP_SHA1_BLOCK; }

static inline uint32_t srtp_inner_blocks(const srtp_job *job) {
    return (job->auth_len + job->trailer_len + 8) / SRTP_SHA1_BLOCK + 1;
}

/* The last octets are copied as a block of fixed length. What this reads behind them, at most 63 octets, is the tag and
 * its tail room; zeros replace it. */
static inline void srtp_fill_end(srtp_hmac_end *end, const srtp_job *job) {
    uint32_t whole = srtp_whole_blocks(job), rest = job->auth_len % SRTP_SHA1_BLOCK;
    uint8_t *octets = end->octets;
    uint64_t pad = SRTP_SHA1_PAD, bits = (SRTP_SHA1_BLOCK + (uint64_t)job->auth_len + job->trailer_len) * 8;

    if (rest > 0) {
        memcpy(octets, job->data + (size_t)whole * SRTP_SHA1_BLOCK, SRTP_SHA1_BLOCK);
    }
    memset(octets + rest, 0, 2 * SRTP_SHA1_BLOCK);
    if (job->trailer_len > 0) {
        pad = pad << 32 | load_le32(job->trailer);
    }
    store_le32(octets + rest, (uint32_t)pad);
    octets[rest + 4] = (uint8_t)(pad >> 32);
    store_be64(octets + (size_t)(srtp_inner_blocks(job) - whole) * SRTP_SHA1_BLOCK - 8, bits);
}

/* A packet on its way through the inner hash */
typedef struct srtp_hmac_lane {
    const uint8_t *data, *end;
    uint32_t whole, blocks;
} srtp_hmac_lane;

static inline void srtp_hmac_start(srtp_hmac_lane *lane, srtp_hmac_end *end, const srtp_job *job) {
    srtp_fill_end(end, job);
    *lane = (srtp_hmac_lane){job->data, end->octets, srtp_whole_blocks(job), srtp_inner_blocks(job)};
}

static inline const uint8_t *srtp_hmac_block(const srtp_hmac_lane *lane, uint32_t b) {
    return b < lane->whole ? lane->data + (size_t)b * SRTP_SHA1_BLOCK
                           : lane->end + (size_t)(b - lane->whole) * SRTP_SHA1_BLOCK;
}

#endif
