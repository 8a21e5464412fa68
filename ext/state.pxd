# Declarations of state.h, suites.h, atomics.h and stats.h: only the fields that Cython uses.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "crypto/crypto.h" nogil:
    enum:
        SRTP_MKI_MAX
        SRTP_TAIL_ROOM
        SRTP_GCM_TAG_LEN
    enum srtp_cipher:
        SRTP_CIPHER_CM
        SRTP_CIPHER_GCM

    ctypedef struct srtp_key:
        uint8_t live
        uint8_t cipher
        uint8_t mki_len
        uint8_t *salt
        uint8_t *mki

    ctypedef struct srtp_job:
        const srtp_key *key
        uint8_t *data
        uint8_t *tag
        uint32_t clear_len
        uint32_t cipher_len
        uint32_t auth_len
        uint8_t *trailer
        uint8_t trailer_len
        uint8_t tag_len
        uint8_t verify_only
        uint8_t good
        uint8_t *iv

    ctypedef void (*srtp_run)(srtp_job **jobs, size_t count) noexcept nogil

    ctypedef struct srtp_kernels:
        const char *name
        const char *needs
        int (*available)() noexcept nogil
        void (*set_cipher_key)(srtp_key *key, srtp_cipher cipher, const uint8_t *octets, size_t key_len) noexcept nogil
        void (*set_auth_key)(srtp_key *key, const uint8_t *octets, size_t auth_len) noexcept nogil
        void (*keystream)(const srtp_key *key, const uint8_t *iv, uint8_t *out, size_t len) noexcept nogil
        srtp_run protect_cm
        srtp_run unprotect_cm
        srtp_run protect_gcm
        srtp_run unprotect_gcm

    const srtp_kernels **srtp_all_kernels
    const srtp_kernels *srtp_choose_kernels(const char *forced) noexcept
    const char *srtp_self_test(const srtp_kernels *kernels) noexcept


cdef extern from "suites.h" nogil:
    enum:
        SRTP_SUITE_COUNT
        SRTP_AUTH_KEY_LEN

    ctypedef struct srtp_suite:
        const char *name
        uint8_t cipher
        uint8_t encrypts
        uint8_t key_len
        uint8_t salt_len
        uint8_t rtp_tag_len
        uint8_t rtcp_tag_len

    const srtp_suite *srtp_suites


cdef extern from "atomics.h" nogil:
    void spin_lock(uint32_t *lock) noexcept
    void spin_unlock(uint32_t *lock) noexcept
    uint32_t load_acquire(const uint32_t *p) noexcept
    void store_release(uint32_t *p, uint32_t v) noexcept
    uint64_t fetch_add64(uint64_t *p, uint64_t v) noexcept
    void wipe(void *p, unsigned long length) noexcept
    void prefetch(const void *p) noexcept


cdef extern from "stats.h" nogil:
    enum:
        DROP_NONE
        DROP_TOO_SHORT
        DROP_TOO_LONG
        DROP_MALFORMED
        DROP_NOT_MEDIA
        DROP_STUN
        DROP_DTLS
        DROP_UNEXPECTED_RTCP
        DROP_UNEXPECTED_RTP
        DROP_WRONG_SOURCE
        DROP_NOT_JOINED
        DROP_HOLD
        DROP_NO_REMOTE
        DROP_AUTH_FAILED
        DROP_REPLAY
        DROP_TOO_OLD
        DROP_UNKNOWN_MKI
        DROP_SRTCP_IN_CLEAR
        DROP_SSRC_LIMIT
        DROP_ROC_UNKNOWN
        DROP_RECEIVE_KEY_EXPIRED
        DROP_TX_DUPLICATE
        DROP_TX_TOO_OLD
        DROP_TX_KEY_EXPIRED
        DROP_FOREIGN_KEY
        DROP_NO_KEY
        DROP_PROVIDER
        DROP_TX_QUEUE_FULL
        DROP_TX_UNREACHABLE
        DROP_TX_REFUSED
        DROP_COUNT
        COUNT_RX_PACKETS
        COUNT_RX_OCTETS
        COUNT_TX_PACKETS
        COUNT_TX_OCTETS
        COUNT_AUTH_PREVIOUS_KEY
        COUNT_AUTH_OTHER_ROC
        COUNT_SSRC_CHANGES
        COUNT_SOURCE_RESTARTS
        COUNT_SSRC_COLLISIONS
        COUNT_REMOTE_CHANGES
        COUNT_ROC_RECOVERIES
        COUNT_REORDERED
        COUNTER_COUNT
        EVENT_NONE
        EVENT_SOURCE_RESTARTED
        EVENT_SSRC_RENAMED
        EVENT_REMOTE_CHANGED
        EVENT_ROC_RECOVERED
        EVENT_ROC_UNKNOWN
        EVENT_KEY_EXPIRED
        EVENT_MEDIA_TIMEOUT
        EVENT_MEDIA_RESUMED
        EVENT_COUNT

    ctypedef struct srtpgw_name:
        const char *name
        const char *help

    const srtpgw_name *srtpgw_drop_names
    const srtpgw_name *srtpgw_counter_names
    const srtpgw_name *srtpgw_event_names


cdef extern from "engine/engine.h" nogil:
    enum:
        ENGINE_BATCH
        ENGINE_FRAME_MAX
        ENGINE_HEAD_ROOM
        ENGINE_SENT
        ENGINE_QUEUE_FULL
        ENGINE_UNREACHABLE

    ctypedef struct endpoint:
        uint8_t family
        uint16_t port
        uint32_t scope
        uint8_t *address

    ctypedef struct engine_frame:
        uint8_t *data
        uint32_t len
        uint32_t capacity
        uint32_t port
        uint8_t outcome
        uint8_t truncated
        uint64_t received_ns
        endpoint remote

    ctypedef struct engine_port_options:
        uint8_t dscp
        uint32_t receive_buffer

    ctypedef struct engine:
        pass

    ctypedef struct engine_ops:
        const char *name
        engine *(*create)(int wake_fd, uint32_t max_ports, int *error) noexcept nogil
        void (*destroy)(engine *self) noexcept nogil
        int (*bind)(endpoint *local, const engine_port_options *options) noexcept nogil
        int (*set_options)(int handle, const engine_port_options *options) noexcept nogil
        void (*release)(int handle) noexcept nogil
        int (*attach)(engine *self, uint32_t port, int handle) noexcept nogil
        int (*detach)(engine *self, uint32_t port) noexcept nogil
        int (*receive)(engine *self, engine_frame *frames, int most, int timeout_ms, int *woken) noexcept nogil
        int (*send)(engine *self, engine_frame **frames, int count) noexcept nogil

    const engine_ops engine_socket
    const engine_ops engine_memory
    int engine_memory_inject(engine *self, uint32_t port, const endpoint *source, uint64_t received_ns,
                             const uint8_t *octets, size_t length) noexcept
    int engine_memory_collect(engine *self, engine_frame *meta, uint8_t *octets, size_t room) noexcept


cdef extern from "state.h" nogil:
    enum:
        STATE_LAYOUT
        WINDOW_BITS
        WIDE_BITS
        CONTEXT_KEYS
        SEARCH_SLOTS
        SEARCH_HINTS
        RELAY_BUCKETS
        RTP
        RTCP
        CONTEXT_SENDER
        CONTEXT_RTCP
        CONTEXT_ENCRYPT
        CONTEXT_FOREIGN
        CONTEXT_VERIFY
        CONTEXT_RENAME
        CONTEXT_LIBSRTP
        CONTEXT_SEARCHING
        CONTEXT_FORGOT
        SOURCE_AUTHENTICATED
        SOURCE_STRICT
        SOURCE_LEARN_ONCE

    ctypedef struct srtp_stream:
        uint32_t next
        uint32_t wide
        uint64_t *window
        uint32_t ssrc
        uint32_t out_ssrc
        uint64_t highest
        uint64_t recent
        uint16_t restart_next
        uint8_t restart_pending
        uint8_t duplicate_run
        uint8_t started
        uint8_t estimated
        uint8_t taken
        uint8_t is_wide

    ctypedef struct srtp_wide:
        uint64_t *window

    ctypedef struct srtp_search:
        uint32_t ssrc
        uint32_t roc
        uint16_t sequence
        uint8_t failures
        uint8_t pending
        uint8_t reported
        uint8_t next
        uint64_t pending_ns

    ctypedef struct context_key:
        uint64_t left
        uint32_t number

    ctypedef struct srtp_context:
        srtp_stream own
        uint8_t live
        uint8_t suite
        uint8_t cipher
        uint8_t tag_len
        uint16_t flags
        uint8_t key_count
        uint8_t active
        uint8_t mki_len
        uint16_t window
        uint16_t stream_limit
        uint16_t stream_count
        uint8_t tokens
        uint8_t hint_count
        uint32_t fresh_count
        uint64_t fresh_seed
        uint64_t told_ns
        uint32_t first
        uint32_t previous
        uint32_t initial_roc
        uint32_t initial_index
        context_key *key
        uint64_t overlap_until_ns
        uint64_t refilled_ns
        uint64_t examine_at_ns
        uint8_t expiry_told
        uint32_t *hints
        srtp_search *search

    ctypedef struct leg_record:
        uint8_t live
        uint8_t type
        uint8_t watched
        uint8_t encrypted
        uint8_t source_rule
        uint8_t mux
        uint8_t hold
        uint8_t *latched
        uint8_t forward
        uint8_t timed_out
        uint32_t peer
        uint32_t *receive
        uint32_t clock_rate
        endpoint remote
        uint64_t relay_max_ns
        uint64_t *received
        uint64_t last_packet_ns
        uint64_t received_now
        uint32_t ssrc
        uint32_t base
        uint32_t newest
        uint32_t transit
        uint32_t jitter
        uint32_t source_rate
        uint32_t roc
        uint8_t has_source
        uint8_t has_roc
        uint64_t *sent
        uint32_t *send
        endpoint target
        uint32_t sending_ssrc
        uint32_t sending_roc
        uint8_t has_sent
        uint8_t target_encrypted
        uint8_t target_mux
        uint8_t target_hold
        endpoint remote_rtcp
        uint64_t timeout_ns
        uint64_t activated_ns
        uint64_t last_rtcp_ns
        uint64_t expected_before
        uint64_t received_before
        uint64_t *rare
        uint64_t *rtcp
        uint64_t (*drops)[DROP_COUNT]
        uint32_t *relay_time

    ctypedef struct srtp_packet:
        uint8_t *data
        uint32_t len
        uint32_t room
        uint32_t context
        uint8_t rtcp
        uint8_t verdict
        uint8_t event
        uint8_t slot
        uint8_t newest
        uint8_t cause
        uint8_t plain
        uint8_t job
        uint32_t ssrc
        uint32_t out_ssrc
        uint64_t index

    ctypedef struct srtp_event:
        uint64_t time_ns
        uint32_t leg
        uint32_t ssrc
        uint32_t out_ssrc
        uint8_t kind
        uint8_t rtcp
        endpoint remote

    uint64_t SRTP_INDEX_END
    uint64_t SRTCP_INDEX_END
    uint32_t SRTCP_E_BIT
    uint32_t STREAM_OWN

    uint64_t *counter_of(leg_record *leg, int rtcp, unsigned counter) noexcept
    const endpoint *remote_of(const leg_record *leg, uint32_t slot) noexcept
    const endpoint *target_of(const leg_record *leg, uint32_t slot) noexcept
    void set_remote(leg_record *leg, uint32_t slot, const endpoint *remote) noexcept
    uint32_t floor_log2(uint64_t v) noexcept
    uint16_t load16(const uint8_t *p) noexcept
    uint32_t load32(const uint8_t *p) noexcept
    void store32(uint8_t *p, uint32_t v) noexcept
    void xor64(uint8_t *out, const uint8_t *octets, uint64_t v) noexcept
