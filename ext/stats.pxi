# Counting. Every counter belongs to a leg and is written by the leg's worker alone, so there is nothing to lock; a
# reader sees each number whole, though not all of one instant.

cdef enum:
    MAX_DROPOUT = 3000      # RFC 3550 A.1: a larger jump is another source
    RELAY_FLOOR_NS = 1024   # relay times are told apart from here on, an eighth of an octave each

cdef struct event_ring:
    srtp_event[1024] events
    uint32_t head            # next to write, worker
    uint32_t tail            # next to read, control side
    uint64_t lost


cdef void push_event(event_ring *ring, uint8_t kind, uint32_t leg, bint rtcp, const srtp_packet *packet,
                     const endpoint *remote, uint64_t now_ns) noexcept nogil:
    """Tell the control side; counted as lost where it does not keep up."""
    cdef srtp_event *event
    if ring.head - load_acquire(&ring.tail) >= 1024:
        ring.lost += 1
        return
    event = &ring.events[ring.head & 1023]
    memset(event, 0, sizeof(srtp_event))
    event.kind = kind
    event.leg = leg
    event.rtcp = rtcp
    event.time_ns = now_ns
    if packet != NULL:
        event.ssrc = packet.ssrc
        event.out_ssrc = packet.out_ssrc
    if remote != NULL:
        event.remote = remote[0]
    store_release(&ring.head, ring.head + 1)


cdef inline uint32_t clock_rate(const leg_record *leg, uint8_t payload_type) noexcept nogil:
    """Hz: as configured, else by static payload type (RFC 3551 6), else 8000."""
    if leg.clock_rate:
        return leg.clock_rate
    if payload_type in (6,):
        return 16000
    if payload_type in (10, 11):
        return 44100
    if payload_type in (14, 25, 26, 28, 31, 32, 33, 34):
        return 90000
    if payload_type == 16:
        return 11025
    if payload_type == 17:
        return 22050
    return 8000


cdef void count_source(leg_statistics *s, uint32_t ssrc, uint16_t sequence) noexcept nogil:
    """Extended sequence numbers of the present source; a new one is added to the sum of those before (RFC 3550 A.3)."""
    cdef int16_t ahead = <int16_t>(sequence - <uint16_t>s.newest)
    cdef bint same = s.has_source and s.ssrc == ssrc
    if same and -MAX_DROPOUT < ahead < MAX_DROPOUT:
        if ahead > 0:
            s.newest += ahead
        elif ahead < 0:
            s.counters[COUNT_REORDERED] += 1
            if <int32_t>(s.newest + ahead - s.base) < 0:
                s.base = s.newest + ahead
        s.received_now += 1
        return
    if s.has_source:
        s.expected_before += s.newest - s.base + 1
        s.received_before += s.received_now
        if not same:
            s.counters[COUNT_SSRC_CHANGES] += 1
    s.has_source = 1
    s.ssrc = ssrc
    s.base = s.newest = 0x10000 | sequence
    s.received_now = 1
    s.jitter = 0
    s.clock_rate = 0


cdef void count_arrival(leg_record *leg, leg_statistics *s, const uint8_t *rtp, uint64_t arrival_ns,
                        uint64_t now_ns) noexcept nogil:
    """Loss, reordering and interarrival jitter of an accepted RTP packet (RFC 3550 6.4.1, A.8)."""
    cdef uint32_t rate = clock_rate(leg, rtp[1] & 0x7F)
    cdef uint32_t transit, change
    cdef uint64_t units
    s.last_packet_ns = now_ns
    count_source(s, rtp_ssrc(rtp), rtp_sequence(rtp))
    units = arrival_ns // 1000000000 * rate + arrival_ns % 1000000000 * rate // 1000000000
    transit = <uint32_t>units - load32(rtp + 4)
    if s.clock_rate == rate:
        change = transit - s.transit
        if change >> 31:
            change = 0 - change
        s.jitter += change - ((s.jitter + 8) >> 4)
    s.clock_rate = rate
    s.transit = transit


cdef void count_relay_time(leg_record *leg, uint64_t elapsed_ns) noexcept nogil:
    """From the kernel's receive stamp to after the send."""
    cdef uint64_t v = elapsed_ns
    cdef uint32_t octave = 0, bucket = 0
    if elapsed_ns > leg.relay_max_ns:
        leg.relay_max_ns = elapsed_ns
    if v >= RELAY_FLOOR_NS:
        while v >= 2 * RELAY_FLOOR_NS:
            v >>= 1
            octave += 1
        bucket = octave * 8 + <uint32_t>((v - RELAY_FLOOR_NS) >> 7)
        if bucket >= RELAY_BUCKETS:
            bucket = RELAY_BUCKETS - 1
    leg.relay_time[bucket] += 1


cdef uint64_t relay_bucket_end(uint32_t bucket) noexcept nogil:
    """Upper end of a bucket in nanoseconds."""
    return (<uint64_t>RELAY_FLOOR_NS + 128 * ((bucket & 7) + 1)) << (bucket >> 3)


cdef dict direction_numbers(const leg_statistics *s, uint64_t now_ns):
    cdef int i
    cdef uint64_t expected = s.expected_before + (s.newest - s.base + 1 if s.has_source else 0)
    cdef uint64_t received = s.received_before + s.received_now
    numbers = {COUNTER_NAMES[i]: s.counters[i] for i in range(COUNTER_COUNT)}
    numbers["drops"] = {DROP_NAMES[i]: s.drops[i] for i in range(DROP_COUNT) if s.drops[i]}
    numbers["lost_packets"] = expected - received if expected > received else 0
    numbers["ssrc"] = s.ssrc if s.has_source else None
    numbers["roc"] = s.roc if s.has_roc else None
    numbers["sending_ssrc"] = s.sending_ssrc if s.has_sent else None
    numbers["sending_roc"] = s.sending_roc if s.has_sent else None
    numbers["jitter_ms"] = s.jitter / 16.0 * 1000.0 / s.clock_rate if s.clock_rate else 0.0
    age = <double>(now_ns - s.last_packet_ns) / 1e9 if now_ns > s.last_packet_ns else 0.0
    numbers["last_packet_age"] = age if s.last_packet_ns else None
    return numbers


cdef tuple relay_times(const leg_record *leg):
    """(p50, p99, max, count): nanoseconds, bucket ends; zeros where nothing was relayed."""
    cdef uint64_t total = 0, seen = 0, p50 = 0, p99 = 0
    cdef uint32_t i
    for i in range(<uint32_t>RELAY_BUCKETS):
        total += leg.relay_time[i]
    for i in range(<uint32_t>RELAY_BUCKETS):
        seen += leg.relay_time[i]
        if not p50 and seen and seen * 2 >= total:
            p50 = relay_bucket_end(i)
        if not p99 and seen and seen * 100 >= total * 99:
            p99 = relay_bucket_end(i)
    return min(p50, leg.relay_max_ns), min(p99, leg.relay_max_ns), leg.relay_max_ns, total


def snapshot_legs(list numbers not None):
    """The records of these legs as octets, copied without the GIL, for leg_numbers()."""
    cdef uint32_t count = <uint32_t>len(numbers), i
    cdef uint32_t *wanted = <uint32_t *>malloc(sizeof(uint32_t) * (count + 1))
    if wanted == NULL:
        raise MemoryError
    for i in range(count):
        wanted[i] = numbers[i]
    cdef bytearray out = bytearray(<size_t>count * sizeof(leg_record))
    cdef uint8_t *to = <uint8_t *><char *>out
    with nogil:
        for i in range(count):
            if wanted[i] < STATE.legs.capacity:
                memcpy(to + <size_t>i * sizeof(leg_record), leg_at(wanted[i]), sizeof(leg_record))
    free(wanted)
    return bytes(out)


def leg_numbers(const uint8_t[::1] snapshot not None, uint32_t position, uint64_t now_ns):
    """(RTP numbers, RTCP numbers, relay times, remote RTP, remote RTCP) of one leg of a snapshot."""
    cdef leg_record leg
    if (<size_t>position + 1) * sizeof(leg_record) > <size_t>snapshot.shape[0]:
        raise IndexError(position)
    memcpy(&leg, &snapshot[<size_t>position * sizeof(leg_record)], sizeof(leg_record))
    return (
        direction_numbers(&leg.statistics[RTP], now_ns),
        direction_numbers(&leg.statistics[RTCP], now_ns),
        relay_times(&leg),
        endpoint_tuple(&leg.remote[RTP]),
        endpoint_tuple(&leg.remote[RTCP]),
    )
