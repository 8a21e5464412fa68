/* Records of the arenas. No record holds a pointer: all links are record numbers, 0 meaning none, so a mapping can be
 * handed to another process as it is. Change STATE_LAYOUT whenever a record changes. */
#ifndef SRTPGW_STATE_H
#define SRTPGW_STATE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "crypto/crypto.h"
#include "engine/engine.h"
#include "stats.h"

enum {
    STATE_LAYOUT = 2,
    WINDOW_BITS = 1024,       /* replay window kept inside a stream record */
    WINDOW_WORDS = WINDOW_BITS / 64,
    WIDE_BITS = 32768,        /* window kept in a record of its own */
    WIDE_WORDS = WIDE_BITS / 64,
    CONTEXT_KEYS = 8,         /* master keys of one context (MKI) */
    SEARCH_SLOTS = 4,         /* sources per context that fail authentication and are watched */
    SEARCH_HINTS = 8,
    RELAY_BUCKETS = 128,      /* relay-time histogram: eight per octave of nanoseconds, from 1 us */
    RTP = 0,
    RTCP = 1,
};

/* A stream's number with this bit is the number of the context that has the stream in its own record. */
#define STREAM_OWN ((uint32_t)1 << 31)

/* RFC 3711 9.2: packets that one master key may protect; RFC 3711 3.4: the E flag beside the SRTCP index. */
#define SRTP_INDEX_END ((uint64_t)1 << 48)
#define SRTCP_INDEX_END ((uint64_t)1 << 31)
#define SRTCP_E_BIT ((uint32_t)1 << 31)

enum srtp_context_flag {
    CONTEXT_SENDER = 1,
    CONTEXT_RTCP = 2,
    CONTEXT_ENCRYPT = 4,
    CONTEXT_FOREIGN = 8,      /* the key was not generated here: never protects (sender) */
    CONTEXT_VERIFY = 16,      /* authenticate and leave the octets as they are (receiver) */
    CONTEXT_RENAME = 32,      /* every source goes on under an outgoing SSRC of ours (unclean restart) */
    CONTEXT_LIBSRTP = 64,
    CONTEXT_SEARCHING = 128,  /* a search slot is in use */
    CONTEXT_FORGOT = 256,     /* the key may have been used under SSRCs that are not in the list any more */
};

/* One source under one context. Sender, SRTP: `highest` is the newest index sent, the window what was sent.
 * Sender, SRTCP: `highest` is the next index. Receiver: newest authentic index and what was received. What a packet in
 * order touches is at the end, where a context's own line goes on. */
typedef struct srtp_stream {
    uint32_t next;              /* next stream of the context */
    uint32_t wide;              /* wide window, where the context's is over WINDOW_BITS */
    uint8_t reserved[24];
    uint64_t window[WINDOW_WORDS];
    uint32_t ssrc;              /* as it arrives */
    uint32_t out_ssrc;          /* as it leaves; a receiver's are equal */
    uint64_t highest;
    uint64_t recent;            /* the window's word that `highest` is in: the one in the ring is out of date */
    uint16_t restart_next;      /* RFC 3550 A.1: the sequence number that would confirm a restart */
    uint8_t restart_pending;
    uint8_t duplicate_run;
    uint8_t started;            /* 0: nothing was sent or received under this key yet */
    uint8_t estimated;          /* `highest` is known, from the key before or by being set */
    uint8_t taken;              /* the record is in use */
    uint8_t is_wide;
} srtp_stream;

typedef struct srtp_wide {
    uint64_t window[WIDE_WORDS];
} __attribute__((aligned(64))) srtp_wide;

/* A source that fails authentication: is it known under another rollover counter? */
typedef struct srtp_search {
    uint32_t ssrc;
    uint32_t roc;               /* under which the pending packet was authentic */
    uint16_t sequence;          /* of the pending packet */
    uint8_t failures;
    uint8_t pending;
    uint8_t reported;
    uint8_t next;               /* candidate to try next: tokens may come one at a time */
    uint8_t reserved[2];
    uint64_t pending_ns;        /* when that packet came */
} srtp_search;

typedef struct context_key {
    uint64_t left;              /* packets until the lifetime is used up */
    uint32_t number;            /* of the key record */
    uint32_t reserved;
} context_key;

/* What a packet of the first source touches is one line: the end of `own`, and from `live` to the first key. */
typedef struct srtp_context {
    uint64_t overlap_until_ns;  /* until then packets of the previous key are taken too */
    uint64_t refilled_ns;
    uint64_t examine_at_ns;     /* next failure whose cause is looked for */
    uint32_t previous;          /* context of the key before this one */
    uint16_t stream_limit;
    uint16_t stream_count;
    srtp_stream own;            /* of the first source */
    uint8_t live;
    uint8_t suite;              /* number in the suite table */
    uint8_t cipher;             /* enum srtp_cipher */
    uint8_t tag_len;
    uint16_t flags;             /* enum srtp_context_flag */
    uint8_t key_count;
    uint8_t active;             /* the sender's key */
    uint8_t mki_len;
    uint8_t expiry_told;
    uint16_t window;            /* 64 to 32767 */
    uint32_t first;             /* stream, most recently used first */
    context_key key[CONTEXT_KEYS];
    uint32_t initial_roc;
    uint32_t initial_index;     /* SRTCP sender */
    uint8_t tokens;             /* trial authentications left, refilled at SEARCH_RATE */
    uint8_t hint_count;
    uint8_t reserved[2];
    uint32_t fresh_count;       /* SSRCs of ours taken from the permutation that fresh_seed names */
    uint64_t fresh_seed;
    uint64_t told_ns;           /* when an unknown rollover counter was last told of */
    uint32_t hints[SEARCH_HINTS];
    srtp_search search[SEARCH_SLOTS];
} __attribute__((aligned(64))) srtp_context;

/* The counters of stats.h, as they lie in a leg: what every packet moves is apart from the rest. */
enum { TRAFFIC = 2, RARE_COUNTERS = COUNTER_COUNT - 2 * TRAFFIC };

/* Settings, and counters for RTP and for RTCP. Counters are written by the leg's worker only and read at any time.
 * A packet touches two lines where it comes in and one where it leaves, so what both sides need is there twice. */
typedef struct leg_record {
    /* line 0: where RTP comes in */
    uint8_t encrypted;          /* policy: without contexts nothing passes */
    uint8_t source_rule;        /* enum leg_source_rule */
    uint8_t mux;
    uint8_t hold;
    uint8_t latched[2];
    uint8_t forward;            /* packets of this leg leave as they are: verify and forward */
    uint8_t timed_out;
    uint32_t peer;
    uint32_t receive[2];        /* contexts, RTP and RTCP */
    uint32_t clock_rate;        /* 0: by payload type */
    endpoint remote;            /* see remote_of() */
    uint64_t relay_max_ns;
    uint8_t live;
    uint8_t type;
    uint8_t watched;            /* timeout_ns is not 0 */
    uint8_t reserved[5];
    /* line 1: what comes in */
    uint64_t received[TRAFFIC]; /* packets, octets: see counter_of() */
    uint64_t last_packet_ns;    /* CLOCK_MONOTONIC */
    uint64_t received_now;      /* packets of the present source */
    uint32_t ssrc;
    uint32_t base;              /* extended sequence numbers of the present source */
    uint32_t newest;
    uint32_t transit;           /* RTP clock units, modulo 2^32 */
    uint32_t jitter;            /* RTP clock units * 16 */
    uint32_t source_rate;       /* Hz */
    uint32_t roc;
    uint8_t has_source;
    uint8_t has_roc;
    uint8_t reserved2[2];
    /* line 2: where RTP leaves, and what does */
    uint64_t sent[TRAFFIC];
    uint32_t send[2];           /* contexts, RTP and RTCP */
    endpoint target;            /* as `remote` */
    uint32_t sending_ssrc;      /* of the newest packet that left */
    uint32_t sending_roc;
    uint8_t has_sent;
    uint8_t target_encrypted;   /* as `encrypted`, `mux` and `hold` */
    uint8_t target_mux;
    uint8_t target_hold;
    uint8_t reserved3[4];
    /* the rest */
    endpoint remote_rtcp;
    uint64_t timeout_ns;
    uint64_t activated_ns;
    uint64_t last_rtcp_ns;
    uint64_t expected_before;   /* of sources that ended: RFC 3550 A.3 sums over all sources */
    uint64_t received_before;
    uint64_t rare[RARE_COUNTERS];
    uint64_t rtcp[COUNTER_COUNT];
    uint64_t drops[2][DROP_COUNT];
    uint32_t relay_time[RELAY_BUCKETS];
    uint8_t spread[64];         /* makes it an odd number of lines */
} __attribute__((aligned(64))) leg_record;

enum leg_source_rule { SOURCE_AUTHENTICATED, SOURCE_STRICT, SOURCE_LEARN_ONCE };

static_assert(sizeof(srtp_key) == 704, "layout");
/* Hot state of a direction: four lines of an AES-128-CM key, the stream, the rest of the context's line. Records are an
 * odd number of lines, so that those of many legs spread over every set of the caches. */
static_assert(offsetof(srtp_key, schedule) + 11 * 16 <= 256, "AES-128-CM: four lines of a key");
static_assert(sizeof(srtp_stream) == 192, "a stream is three cache lines");
static_assert((offsetof(srtp_context, own) + offsetof(srtp_stream, ssrc)) % 64 == 0, "a context's line begins");
static_assert(offsetof(srtp_context, own) + offsetof(srtp_stream, ssrc) + 64 == offsetof(srtp_context, key[1]), "ends");
static_assert(256 + sizeof(srtp_stream) + 64 <= 512, "hot state of a direction: eight cache lines");
static_assert(sizeof(srtp_context) / 64 % 2 == 1 && sizeof(leg_record) / 64 % 2 == 1, "an odd number of lines");
static_assert(offsetof(leg_record, received) == 64 && offsetof(leg_record, sent) == 128, "hot lines of a leg");
static_assert(offsetof(leg_record, remote_rtcp) == 192, "three of them");
static_assert(COUNT_RX_PACKETS == 0 && COUNT_RX_OCTETS == 1, "counter_of: received");
static_assert(COUNT_TX_PACKETS == 2 && COUNT_TX_OCTETS == 3, "counter_of: sent");

/* `counter` is an enum srtpgw_counter. */
static inline uint64_t *counter_of(leg_record *leg, int rtcp, unsigned counter) {
    if (rtcp)
        return &leg->rtcp[counter];
    if (counter < TRAFFIC)
        return &leg->received[counter];
    return counter < 2 * TRAFFIC ? &leg->sent[counter - TRAFFIC] : &leg->rare[counter - 2 * TRAFFIC];
}
/* Where RTP (slot RTP) or RTCP comes from; where it goes. */
static inline const endpoint *remote_of(const leg_record *leg, uint32_t slot) {
    return slot == RTP ? &leg->remote : &leg->remote_rtcp;
}
static inline const endpoint *target_of(const leg_record *leg, uint32_t slot) {
    return slot == RTP ? &leg->target : &leg->remote_rtcp;
}
static inline void set_remote(leg_record *leg, uint32_t slot, const endpoint *remote) {
    if (slot == RTP)
        leg->remote = leg->target = *remote;
    else
        leg->remote_rtcp = *remote;
}

/* A packet on its way through a context. */
typedef struct srtp_packet {
    uint8_t *data;
    uint32_t len;
    uint32_t room;              /* octets from data that may be written, SRTP_TAIL_ROOM included */
    uint32_t context;
    uint8_t rtcp;
    uint8_t verdict;            /* enum srtpgw_drop */
    uint8_t event;              /* enum srtpgw_event */
    uint8_t slot;               /* of the context's keys */
    uint8_t newest;             /* the index is the newest of its source */
    uint8_t cause;              /* after a failure: counter that names its cause, or 0 */
    uint8_t plain;              /* passes as it is: no context is asked */
    uint8_t job;
    uint32_t ssrc;
    uint32_t out_ssrc;
    uint64_t index;
} srtp_packet;

typedef struct srtp_event {
    uint64_t time_ns;           /* CLOCK_MONOTONIC */
    uint32_t leg;
    uint32_t ssrc;
    uint32_t out_ssrc;
    uint8_t kind;
    uint8_t rtcp;
    uint8_t reserved[2];
    endpoint remote;
} srtp_event;

static inline uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t load32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void store32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}
/* out = octets ^ v, v in network order: an IV in two steps instead of sixteen */
static inline void xor64(uint8_t *out, const uint8_t *octets, uint64_t v) {
    uint64_t word;
    memcpy(&word, octets, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    word ^= v;
    memcpy(out, &word, sizeof(word));
}
/* v > 0 */
static inline uint32_t floor_log2(uint64_t v) { return 63 - (uint32_t)__builtin_clzll(v); }

#endif
