/* Every counter, drop reason and event, declared once. This table makes the structs, the Python fields, the JSON
 * keys, the Prometheus series and the help texts. Columns: identifier, name, help. */
#ifndef SRTPGW_STATS_H
#define SRTPGW_STATS_H

#include <stdint.h>

/* Why a packet was not forwarded. 0 is "not dropped". Counted on the leg where the packet arrived. */
#define SRTPGW_DROP_REASONS(X)                                                                                         \
    X(TOO_SHORT, "too-short", "shorter than the fixed header, or than header, index and tag together")                 \
    X(TOO_LONG, "too-long", "longer than a datagram may be, as received or after protection")                          \
    X(MALFORMED, "malformed", "version, CSRC count, extension or padding length contradict the packet's length")       \
    X(NOT_MEDIA, "not-media", "first octet is neither RTP, RTCP, STUN nor DTLS (RFC 7983)")                            \
    X(STUN, "stun", "STUN message: connectivity checks are not answered")                                              \
    X(DTLS, "dtls", "DTLS record: keys come from the configuration or SDP alone")                                      \
    X(UNEXPECTED_RTCP, "unexpected-rtcp", "RTCP on the RTP port of a leg without RFC 5761 multiplexing")               \
    X(UNEXPECTED_RTP, "unexpected-rtp", "RTP on the RTCP port")                                                        \
    X(WRONG_SOURCE, "wrong-source", "not from the address that the leg's source rule allows")                          \
    X(NOT_JOINED, "not-joined", "the leg is not joined to another")                                                    \
    X(HOLD, "hold", "one of the two legs is on hold")                                                                  \
    X(NO_REMOTE, "no-remote", "the other leg has no remote address yet")                                               \
    X(AUTH_FAILED, "auth-failed", "authentication tag is wrong")                                                       \
    X(REPLAY, "replay", "index was received before")                                                                   \
    X(TOO_OLD, "too-old", "index is behind the replay window")                                                         \
    X(UNKNOWN_MKI, "unknown-mki", "master key identifier names no key of the leg")                                     \
    X(SRTCP_IN_CLEAR, "srtcp-in-clear", "SRTCP packet with the E bit cleared where encryption was agreed")             \
    X(SSRC_LIMIT, "ssrc-limit", "more sources than the context may hold")                                              \
    X(ROC_UNKNOWN, "roc-unknown", "authentic only under a rollover counter that is not confirmed yet")                 \
    X(RECEIVE_KEY_EXPIRED, "receive-key-expired", "lifetime of the receiving master key is used up")                   \
    X(TX_DUPLICATE, "tx-duplicate", "index was sent before under this key: sending it again would reuse keystream")    \
    X(TX_TOO_OLD, "tx-too-old", "sequence number behind the sending window, not confirmed as a restarted source")      \
    X(TX_KEY_EXPIRED, "tx-key-expired", "lifetime of the sending master key is used up")                               \
    X(FOREIGN_KEY, "foreign-key", "the sending key was not generated here: it never protects")                         \
    X(NO_KEY, "no-key", "the key record was wiped, or belongs to the parent of this process")                          \
    X(PROVIDER, "provider", "libsrtp refused the packet")                                                              \
    X(TX_QUEUE_FULL, "tx-queue-full", "the system's send queue is full")                                               \
    X(TX_UNREACHABLE, "tx-unreachable", "no route to the remote address")                                              \
    X(TX_REFUSED, "tx-refused", "the system refused to send")

/* What one direction counts. Kept for RTP and for RTCP apart. Columns as above. */
#define SRTPGW_COUNTERS(X)                                                                                             \
    X(RX_PACKETS, "received_packets", "datagrams that arrived at the leg")                                             \
    X(RX_OCTETS, "received_octets", "their UDP payload, octets")                                                       \
    X(TX_PACKETS, "sent_packets", "datagrams that left from the leg")                                                  \
    X(TX_OCTETS, "sent_octets", "their UDP payload, octets")                                                           \
    X(AUTH_PREVIOUS_KEY, "auth_failed_previous_key",                                                                   \
      "of the failures examined, those authentic under the previous key")                                              \
    X(AUTH_OTHER_ROC, "auth_failed_other_roc", "of the failures examined, those authentic with the ROC one off")       \
    X(SSRC_CHANGES, "ssrc_changes", "times the source (SSRC) changed")                                                 \
    X(SOURCE_RESTARTS, "source_restarts", "sources that restarted and went on under a new outgoing SSRC")              \
    X(SSRC_COLLISIONS, "ssrc_collisions", "sources renamed because their SSRC was in use under the same key")          \
    X(REMOTE_CHANGES, "remote_changes", "times the remote address moved by the leg's source rule")                     \
    X(ROC_RECOVERIES, "roc_recoveries", "rollover counters found by trial authentication")                             \
    X(REORDERED, "reordered_packets", "packets that arrived behind a later one")

/* What the loop tells the control side. */
#define SRTPGW_EVENTS(X)                                                                                               \
    X(SOURCE_RESTARTED, "source-restarted", "a source restarted: it goes on under a new outgoing SSRC")                \
    X(SSRC_RENAMED, "ssrc-renamed", "a source's SSRC was in use under the same key: it got another")                   \
    X(REMOTE_CHANGED, "remote-changed", "the remote address moved by the leg's source rule")                           \
    X(ROC_RECOVERED, "roc-recovered", "the rollover counter was found by trial authentication")                        \
    X(ROC_UNKNOWN, "roc-unknown", "a source fails authentication under every rollover counter tried")                  \
    X(KEY_EXPIRED, "key-expired", "the last sending key's lifetime is used up: the stream has stopped")                \
    X(MEDIA_TIMEOUT, "media-timeout", "no acceptable RTP was received for the leg's media timeout")                    \
    X(MEDIA_RESUMED, "media-resumed", "media came back after a media timeout")

#define SRTPGW_DROP_ENUM(id, name, help) DROP_##id,
#define SRTPGW_COUNT_ENUM(id, name, help) COUNT_##id,
#define SRTPGW_EVENT_ENUM(id, name, help) EVENT_##id,

enum srtpgw_drop { DROP_NONE = 0, SRTPGW_DROP_REASONS(SRTPGW_DROP_ENUM) DROP_COUNT };
enum srtpgw_counter { SRTPGW_COUNTERS(SRTPGW_COUNT_ENUM) COUNTER_COUNT };
enum srtpgw_event { EVENT_NONE = 0, SRTPGW_EVENTS(SRTPGW_EVENT_ENUM) EVENT_COUNT };

typedef struct srtpgw_name {
    const char *name;
    const char *help;
} srtpgw_name;

#define SRTPGW_NAME(id, name, help) {name, help},
static const srtpgw_name srtpgw_drop_names[] = {{"none", "forwarded"}, SRTPGW_DROP_REASONS(SRTPGW_NAME)};
static const srtpgw_name srtpgw_counter_names[] = {SRTPGW_COUNTERS(SRTPGW_NAME)};
static const srtpgw_name srtpgw_event_names[] = {{"none", ""}, SRTPGW_EVENTS(SRTPGW_NAME)};

#endif
