/* The load generator and its sink: records, socket I/O, histogram. The schedule, what is sent and what is thought of
 * what arrives are in load*.pxi. */
#ifndef SRTPGW_LOAD_H
#define SRTPGW_LOAD_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../crypto/crypto.h"
#include "../engine/engine.h"

enum {
    LOAD_PAYLOAD_MAX = 1460,   /* octets: with its RTP, UDP and IPv4 headers 1500 */
    LOAD_SLOT = 64 * 33,       /* octets of a packet buffer; an odd number of cache lines spreads over all sets */
    LOAD_DATAGRAM_MAX = LOAD_SLOT - SRTP_TAIL_ROOM,
    LOAD_SEND_BATCH = 16,      /* datagrams of one sendmmsg: about 30 us */
    LOAD_RECEIVE_BATCH = 16,   /* of one recvmmsg: about 10 us */
    LOAD_ARRIVALS = 32,        /* waiting to be looked at together: about 15 us with SRTP */
    LOAD_WINDOW = 512,         /* packets of a stream among which a duplicate is told from a late one */
    LOAD_POLLED_SOCKETS = 8,   /* up to so many are asked in turn, more of them through epoll */
    LOAD_SOCKETS_MAX = 65535,
};

/* --- histogram: HdrHistogram's buckets. Nanoseconds below 256 have one each; above, every octave has 128, so that a
 * bucket is at most 1/128 of its value wide. */
enum {
    LOAD_OCTAVE_BITS = 7,
    LOAD_OCTAVES = 29,         /* up to 2^36 ns, 68.7 s; what is longer counts in the last bucket */
    LOAD_BUCKETS = (LOAD_OCTAVES + 1) << LOAD_OCTAVE_BITS,
};

static inline uint32_t load_bucket(uint64_t ns) {
    if (ns < 2u << LOAD_OCTAVE_BITS)
        return (uint32_t)ns;
    uint32_t shift = 63 - LOAD_OCTAVE_BITS - (uint32_t)__builtin_clzll(ns);
    if (shift >= LOAD_OCTAVES)
        return LOAD_BUCKETS - 1;
    return (shift << LOAD_OCTAVE_BITS) + (uint32_t)(ns >> shift);
}

/* The least number of nanoseconds in a bucket. */
static inline uint64_t load_bucket_edge(uint32_t bucket) {
    if (bucket < 2u << LOAD_OCTAVE_BITS)
        return bucket;
    uint32_t shift = (bucket >> LOAD_OCTAVE_BITS) - 1;
    return (uint64_t)(bucket - (shift << LOAD_OCTAVE_BITS)) << shift;
}

/* --- counters: the generator's, then the sink's. RTP of the measured period, each packet once, unless it says more. */
#define LOAD_COUNTERS(X)                                                                                               \
    X(LOAD_PLANNED, "planned", "RTP packets that the schedule held in the measured period")                            \
    X(LOAD_SENT, "sent", "RTP packets of the measured period handed to the kernel, each once")                         \
    X(LOAD_SENT_OCTETS, "sent_octets", "UDP payload of these")                                                         \
    X(LOAD_WITHHELD, "withheld", "RTP packets not sent on purpose, as the loss asked for")                             \
    X(LOAD_DELAYED, "delayed", "RTP packets sent behind their successors on purpose")                                  \
    X(LOAD_DUPLICATED, "duplicated", "RTP packets sent twice on purpose")                                              \
    X(LOAD_FORGED, "forged", "damaged copies sent, warm-up included")                                                  \
    X(LOAD_REFUSED, "refused", "packets that the sending SRTP context refused to protect")                             \
    X(LOAD_SEND_FAILED, "send_failed", "datagrams of any kind that the kernel refused to send")                        \
    X(LOAD_UNSENT, "unsent", "RTP packets of the measured period that were not sent before the run was ended")         \
    X(LOAD_WARMUP_SENT, "warmup_sent", "RTP packets of the warm-up handed to the kernel, each once")                   \
    X(LOAD_RTCP_SENT, "rtcp_sent", "RTCP packets handed to the kernel, warm-up included")                              \
    X(LOAD_RECEIVED, "received", "RTP packets of the measured period that arrived and were found good, each once")     \
    X(LOAD_RECEIVED_OCTETS, "received_octets", "UDP payload of these")                                                 \
    X(LOAD_LOST, "lost", "sent less received: not final before the run has ended")                                     \
    X(LOAD_WARMUP_RECEIVED, "warmup_received", "RTP packets of the warm-up that arrived, each once")                   \
    X(LOAD_VERIFIED, "verified", "RTP packets authenticated, where encrypted, and found equal octet for octet")        \
    X(LOAD_DUPLICATES, "duplicates", "second arrivals of packets of the measured period that were sent twice")         \
    X(LOAD_UNEXPECTED_DUPLICATES, "unexpected_duplicates", "second arrivals of RTP packets that were sent once")       \
    X(LOAD_REORDERED, "reordered", "RTP packets that arrived behind a newer one of their stream")                      \
    X(LOAD_LATE, "late", "RTP packets so far behind that a duplicate could not be told; counted as received")          \
    X(LOAD_AUTH_FAILED, "auth_failed", "SRTP packets whose tag is wrong")                                              \
    X(LOAD_REPLAYED, "replayed", "SRTP packets whose index the receiving context has seen or passed")                  \
    X(LOAD_UNOPENED, "unopened", "SRTP packets that the receiving context refused otherwise")                          \
    X(LOAD_WRONG_CONTENT, "wrong_content", "RTP packets whose header or payload is not what was sent")                 \
    X(LOAD_WRONG_LENGTH, "wrong_length", "RTP packets whose length is not what their protection makes it")             \
    X(LOAD_IN_CLEAR, "in_clear", "RTP packets in clear where encrypted ones were due")                                 \
    X(LOAD_FORGED_RECEIVED, "forged_received", "damaged copies of ours that came out, warm-up included")               \
    X(LOAD_UNKNOWN_SSRC, "unknown_ssrc", "packets of an SSRC that no stream has")                                      \
    X(LOAD_WRONG_SOCKET, "wrong_socket", "packets that arrived at another stream's socket")                            \
    X(LOAD_WRONG_SOURCE, "wrong_source", "packets from another address or port than the stream's")                     \
    X(LOAD_MALFORMED, "malformed", "datagrams that are no RTP or RTCP, or too long")                                   \
    X(LOAD_NEVER_SENT, "never_sent", "RTP packets with a number that was not sent")                                    \
    X(LOAD_RTCP_RECEIVED, "rtcp_received", "RTCP packets that arrived and were found good, warm-up included")          \
    X(LOAD_RTCP_AUTH_FAILED, "rtcp_auth_failed", "SRTCP packets that the receiving context refused")                   \
    X(LOAD_RTCP_WRONG, "rtcp_wrong", "RTCP packets whose content is not what was sent")                                \
    X(LOAD_RTCP_IN_CLEAR, "rtcp_in_clear", "RTCP packets in clear where encrypted ones were due")                      \
    X(LOAD_UNSTAMPED, "unstamped", "RTP packets without a kernel receive stamp: the clock was read instead")           \
    X(LOAD_EARLY, "early", "RTP packets that arrived before their time by the clocks; taken as latency 0")             \
    X(LOAD_CLOCK_STEPS, "clock_steps", "times that the wall clock was set while receive stamps were converted")        \
    X(LOAD_SINK_DROPPED, "sink_dropped", "datagrams that the kernel dropped at a full receive buffer of the sink")

#define LOAD_ENUM(id, name, help) id,
enum load_counter { LOAD_COUNTERS(LOAD_ENUM) LOAD_COUNTER_COUNT };
#undef LOAD_ENUM

typedef struct load_name {
    const char *name;
    const char *help;
} load_name;
extern const load_name load_counter_names[];

/* --- records */

typedef struct load_address {
    socklen_t length;          /* 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
} load_address;

/* One way of a call, as the caller wants it. [0] is RTP, [1] RTCP. */
typedef struct load_stream {
    uint32_t ssrc;
    uint32_t out_ssrc;         /* under which it comes out of the gateway */
    uint32_t first_timestamp;
    uint32_t timestamp_step;
    uint64_t interval_ns[2];   /* RTCP: 0 for none */
    uint64_t phase_ns[2];
    uint64_t done[2];          /* packets of the runs before: the next one's number */
    uint16_t first_sequence;
    uint16_t payload_octets;
    uint8_t payload_type;
    uint8_t reserved[3];
    uint32_t sender[2];        /* context numbers, 0: in clear */
    uint32_t receiver[2];
    uint8_t encrypted[2];      /* as it comes out */
    uint8_t trailer[2];        /* octets that protection adds, as it comes out */
    uint16_t socket[2];        /* sent from */
    uint16_t sink_socket[2];   /* expected at */
    load_address to[2];
    load_address source[2];      /* length 0: from anywhere */
} __attribute__((aligned(64))) load_stream;

/* What the generator keeps of a stream. */
typedef struct load_spoken {
    uint64_t sent;             /* of the measured period */
    uint64_t sent_ever;        /* for sender reports (RFC 3550 6.4.1) */
} load_spoken;

/* What the sink keeps of a stream. */
typedef struct load_heard {
    uint64_t seen[LOAD_WINDOW / 64]; /* by number mod LOAD_WINDOW */
    uint64_t next;             /* one more than the newest number, 0: none yet */
    int64_t transit_ns;
    uint64_t jitter;           /* 1/16 ns */
    uint64_t jitter_max;
    uint64_t received;         /* of the measured period, as all below */
    uint64_t duplicates;
    uint64_t reordered;
    uint64_t latency_max_ns;
} __attribute__((aligned(64))) load_heard;

/* A second of the schedule. */
typedef struct load_second {
    uint64_t sent;
    uint64_t lateness_max_ns;
    uint64_t received;
    uint64_t latency_max_ns;
} load_second;

/* A datagram on its way out. */
typedef struct load_datagram {
    uint8_t *data;
    uint32_t len;
    uint16_t socket;
    uint8_t kind;
    uint8_t sent;              /* out */
    uint32_t stream;
    uint64_t due_ns;
    uint64_t scheduled_ns;     /* before any delay on purpose */
    const load_address *to;
} load_datagram;

/* A datagram that arrived. */
typedef struct load_arrival {
    uint8_t *data;
    uint32_t len;
    uint16_t socket;
    uint8_t truncated;
    uint64_t stamp_ns;         /* kernel receive stamp, CLOCK_REALTIME, 0: none */
    load_address source;
} load_arrival;

/* --- sockets.c */

typedef struct load_io load_io;

/* NULL without memory or descriptors. */
load_io *load_io_create(void);
void load_io_destroy(load_io *io);                      /* closes the sockets too */
/* Takes over a bound socket. Its number, or -errno (the socket stays the caller's). */
int load_io_add(load_io *io, int fd, int receive_buffer, int send_buffer);
/* The kernel's own count of datagrams dropped at a socket's full buffer, and its buffer sizes. 0 or -errno. */
int load_io_numbers(const load_io *io, uint32_t socket, uint32_t *dropped, uint32_t *receive_buffer,
                    uint32_t *send_buffer);
uint32_t load_io_count(const load_io *io);
/* Sends datagrams of one socket in order, sets `sent` of each. At most LOAD_SEND_BATCH. The errno of the last one that
 * could not be sent, 0: all could. */
int load_send(load_io *io, uint32_t socket, load_datagram *const *datagrams, int count);
/* Receives into arrivals[first ...]; up to LOAD_RECEIVE_BATCH and to the end of the array. The number. */
int load_receive(load_io *io, int first);
load_arrival *load_arrivals(load_io *io);
/* Until something arrives or the time is over. */
void load_rest(load_io *io, uint64_t ns);
/* Until then, whatever arrives. */
void load_sleep(uint64_t ns);
/* Whether an eventfd is readable within timeout_ms. */
int load_ended(int fd, int timeout_ms);

void load_address_set(load_address *to, const endpoint *from);
int load_address_same(const load_address *a, const load_address *b);

/* CLOCK_REALTIME less CLOCK_MONOTONIC, between two readings that are close; at most so far wrong as *error_ns says. */
int64_t load_clock_offset(uint64_t *error_ns);
uint64_t load_thread_cpu_ns(void);
uint32_t load_thread_number(void);
/* Sleeps of this thread end when they should, as far as the kernel can. */
void load_exact_sleep(void);

#endif
