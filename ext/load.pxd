# Declarations of load/load.h: only what Cython uses.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from state cimport endpoint


cdef extern from "load/load.h" nogil:
    enum:
        LOAD_PAYLOAD_MAX
        LOAD_SLOT
        LOAD_SEND_BATCH
        LOAD_ARRIVALS
        LOAD_WINDOW
        LOAD_BUCKETS
        LOAD_PLANNED
        LOAD_SENT
        LOAD_SENT_OCTETS
        LOAD_WITHHELD
        LOAD_DELAYED
        LOAD_DUPLICATED
        LOAD_FORGED
        LOAD_REFUSED
        LOAD_SEND_FAILED
        LOAD_UNSENT
        LOAD_WARMUP_SENT
        LOAD_RTCP_SENT
        LOAD_RECEIVED
        LOAD_RECEIVED_OCTETS
        LOAD_WARMUP_RECEIVED
        LOAD_VERIFIED
        LOAD_DUPLICATES
        LOAD_UNEXPECTED_DUPLICATES
        LOAD_REORDERED
        LOAD_LATE
        LOAD_AUTH_FAILED
        LOAD_REPLAYED
        LOAD_UNOPENED
        LOAD_WRONG_CONTENT
        LOAD_WRONG_LENGTH
        LOAD_IN_CLEAR
        LOAD_FORGED_RECEIVED
        LOAD_UNKNOWN_SSRC
        LOAD_WRONG_SOCKET
        LOAD_WRONG_SOURCE
        LOAD_MALFORMED
        LOAD_NEVER_SENT
        LOAD_RTCP_RECEIVED
        LOAD_RTCP_AUTH_FAILED
        LOAD_RTCP_WRONG
        LOAD_RTCP_IN_CLEAR
        LOAD_UNSTAMPED
        LOAD_EARLY
        LOAD_CLOCK_STEPS
        LOAD_SINK_DROPPED
        LOAD_COUNTER_COUNT

    uint32_t load_bucket(uint64_t ns) noexcept
    uint64_t load_bucket_edge(uint32_t bucket) noexcept

    ctypedef struct load_name:
        const char *name
        const char *help

    const load_name *load_counter_names

    ctypedef struct load_address:
        uint32_t length

    ctypedef struct load_stream:
        uint32_t ssrc
        uint32_t out_ssrc
        uint32_t first_timestamp
        uint32_t timestamp_step
        uint64_t *interval_ns
        uint64_t *phase_ns
        uint64_t *done
        uint16_t first_sequence
        uint16_t payload_octets
        uint8_t payload_type
        uint32_t *sender
        uint32_t *receiver
        uint8_t *encrypted
        uint8_t *trailer
        uint16_t *socket
        uint16_t *sink_socket
        load_address *to
        load_address *source

    ctypedef struct load_spoken:
        uint64_t sent
        uint64_t sent_ever

    ctypedef struct load_heard:
        uint64_t *seen
        uint64_t next
        int64_t transit_ns
        uint64_t jitter
        uint64_t jitter_max
        uint64_t received
        uint64_t duplicates
        uint64_t reordered
        uint64_t latency_max_ns

    ctypedef struct load_second:
        uint64_t sent
        uint64_t lateness_max_ns
        uint64_t received
        uint64_t latency_max_ns

    ctypedef struct load_datagram:
        uint8_t *data
        uint32_t len
        uint16_t socket
        uint8_t kind
        uint8_t sent
        uint32_t stream
        uint64_t due_ns
        uint64_t scheduled_ns
        const load_address *to

    ctypedef struct load_arrival:
        uint8_t *data
        uint32_t len
        uint16_t socket
        uint8_t truncated
        uint64_t stamp_ns
        load_address source

    ctypedef struct load_io:
        pass

    load_io *load_io_create() noexcept
    void load_io_destroy(load_io *io) noexcept
    int load_io_add(load_io *io, int fd, int receive_buffer, int send_buffer) noexcept
    int load_io_numbers(const load_io *io, uint32_t socket, uint32_t *dropped, uint32_t *receive_buffer,
                        uint32_t *send_buffer) noexcept
    uint32_t load_io_count(const load_io *io) noexcept
    int load_send(load_io *io, uint32_t socket, load_datagram **datagrams, int count) noexcept
    int load_receive(load_io *io, int first) noexcept
    load_arrival *load_arrivals(load_io *io) noexcept
    void load_rest(load_io *io, uint64_t ns) noexcept
    void load_sleep(uint64_t ns) noexcept
    int load_ended(int fd, int timeout_ms) noexcept
    void load_address_set(load_address *to, const endpoint *source) noexcept
    int load_address_same(const load_address *a, const load_address *b) noexcept
    int64_t load_clock_offset(uint64_t *error_ns) noexcept
    uint64_t load_thread_cpu_ns() noexcept
    uint32_t load_thread_number() noexcept
    void load_exact_sleep() noexcept
