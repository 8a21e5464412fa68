# Counting. Every counter belongs to a leg and is written by the leg's worker alone, so there is nothing to lock; a
# reader sees each number whole, though not all of one instant.

cdef enum:
    MAX_DROPOUT = 3000      # RFC 3550 A.1: a larger jump is another source
    RELAY_FLOOR_BITS = 10
    RELAY_FLOOR_NS = 1 << RELAY_FLOOR_BITS  # relay times are told apart from here on, an eighth of an octave each

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


cdef void new_source(leg_record *leg, uint32_t ssrc, uint16_t sequence) noexcept nogil:
    """Count from here on; the source before is added to the sum of those that ended (RFC 3550 A.3)."""
    if leg.has_source:
        leg.expected_before += leg.newest - leg.base + 1
        leg.received_before += leg.received_now
        if leg.ssrc != ssrc:
            counter_of(leg, RTP, COUNT_SSRC_CHANGES)[0] += 1
    leg.has_source = 1
    leg.ssrc = ssrc
    leg.base = leg.newest = 0x10000 | sequence
    leg.received_now = 1
    leg.jitter = 0
    leg.source_rate = 0


cdef inline void count_source(leg_record *leg, uint32_t ssrc, uint16_t sequence) noexcept nogil:
    """Extended sequence numbers of the present source."""
    cdef int16_t ahead = <int16_t>(sequence - <uint16_t>leg.newest)
    if leg.ssrc != ssrc or not leg.has_source or not -MAX_DROPOUT < ahead < MAX_DROPOUT:
        new_source(leg, ssrc, sequence)
        return
    leg.received_now += 1
    if ahead > 0:
        leg.newest += ahead
    elif ahead < 0:
        counter_of(leg, RTP, COUNT_REORDERED)[0] += 1
        if <int32_t>(leg.newest + ahead - leg.base) < 0:
            leg.base = leg.newest + ahead


cdef void count_arrival(leg_record *leg, const uint8_t *rtp, uint64_t arrival_ns, uint64_t now_ns) noexcept nogil:
    """Loss, reordering and interarrival jitter of an accepted RTP packet (RFC 3550 6.4.1, A.8)."""
    cdef uint32_t rate = clock_rate(leg, rtp[1] & 0x7F)
    cdef uint32_t transit, change
    cdef uint64_t units
    leg.last_packet_ns = now_ns
    count_source(leg, rtp_ssrc(rtp), rtp_sequence(rtp))
    units = arrival_ns // 1000000000 * rate + arrival_ns % 1000000000 * rate // 1000000000
    transit = <uint32_t>units - load32(rtp + 4)
    if leg.source_rate == rate:
        change = transit - leg.transit
        if change >> 31:
            change = 0 - change
        leg.jitter += change - ((leg.jitter + 8) >> 4)
    leg.source_rate = rate
    leg.transit = transit


cdef inline uint32_t relay_bucket(uint64_t elapsed_ns) noexcept nogil:
    cdef uint32_t octave, bucket
    if elapsed_ns < RELAY_FLOOR_NS:
        return 0
    octave = floor_log2(elapsed_ns) - RELAY_FLOOR_BITS
    bucket = octave * 8 + <uint32_t>(elapsed_ns >> (octave + RELAY_FLOOR_BITS - 3) & 7)
    return min(bucket, <uint32_t>RELAY_BUCKETS - 1)


cdef void count_relay_time(leg_record *leg, uint64_t elapsed_ns) noexcept nogil:
    """From the kernel's receive stamp to after the send."""
    if elapsed_ns > leg.relay_max_ns:
        leg.relay_max_ns = elapsed_ns
    leg.relay_time[relay_bucket(elapsed_ns)] += 1


cdef uint64_t relay_bucket_end(uint32_t bucket) noexcept nogil:
    """Upper end of a bucket in nanoseconds."""
    return (<uint64_t>RELAY_FLOOR_NS + 128 * ((bucket & 7) + 1)) << (bucket >> 3)


cdef dict direction_numbers(leg_record *leg, bint rtcp, uint64_t now_ns):
    cdef int i
    cdef uint64_t last_ns = leg.last_rtcp_ns if rtcp else leg.last_packet_ns
    numbers = {COUNTER_NAMES[i]: counter_of(leg, rtcp, i)[0] for i in range(COUNTER_COUNT)}
    numbers["drops"] = {DROP_NAMES[i]: leg.drops[rtcp][i] for i in range(DROP_COUNT) if leg.drops[rtcp][i]}
    numbers.update(NO_SOURCE if rtcp else source_numbers(leg))
    age = <double>(now_ns - last_ns) / 1e9 if now_ns > last_ns else 0.0
    numbers["last_packet_age"] = age if last_ns else None
    return numbers


cdef dict NO_SOURCE = {
    "lost_packets": 0, "ssrc": None, "roc": None, "sending_ssrc": None, "sending_roc": None, "jitter_ms": 0.0,
}


cdef dict source_numbers(const leg_record *leg):
    """What is told of RTP only."""
    cdef uint64_t expected = leg.expected_before + (leg.newest - leg.base + 1 if leg.has_source else 0)
    cdef uint64_t received = leg.received_before + leg.received_now
    return {
        "lost_packets": expected - received if expected > received else 0,
        "ssrc": leg.ssrc if leg.has_source else None,
        "roc": leg.roc if leg.has_roc else None,
        "sending_ssrc": leg.sending_ssrc if leg.has_sent else None,
        "sending_roc": leg.sending_roc if leg.has_sent else None,
        "jitter_ms": leg.jitter / 16.0 * 1000.0 / leg.source_rate if leg.source_rate else 0.0,
    }


cdef tuple relay_times(const leg_record *leg):
    """(p50, p99, max, count): nanoseconds, bucket ends; zeros where nothing was relayed."""
    cdef uint64_t total = 0, seen = 0, p50 = 0, p99 = 0, longest = leg.relay_max_ns
    cdef uint32_t i
    for i in range(<uint32_t>RELAY_BUCKETS):
        total += leg.relay_time[i]
    for i in range(<uint32_t>RELAY_BUCKETS):
        seen += leg.relay_time[i]
        if not p50 and seen and seen * 2 >= total:
            p50 = relay_bucket_end(i)
        if not p99 and seen and seen * 100 >= total * 99:
            p99 = relay_bucket_end(i)
    return min(p50, longest), min(p99, longest), longest, total


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
        direction_numbers(&leg, False, now_ns),
        direction_numbers(&leg, True, now_ns),
        relay_times(&leg),
        endpoint_tuple(&leg.remote),
        endpoint_tuple(&leg.remote_rtcp),
    )


def source_marks(list numbers not None, uint64_t reports):
    """Octets for each leg that change when a source comes or goes, and with every `reports` RTCP packets sent."""
    cdef uint64_t[6] mark
    cdef leg_record *leg
    marks = []
    for number in numbers:
        leg = leg_at(number)
        mark[0] = <uint64_t>leg.has_source << 32 | leg.ssrc
        mark[1] = counter_of(leg, RTP, COUNT_SSRC_CHANGES)[0]
        mark[2] = counter_of(leg, RTP, COUNT_SOURCE_RESTARTS)[0]
        mark[3] = counter_of(leg, RTP, COUNT_SSRC_COLLISIONS)[0]
        mark[4] = counter_of(leg, RTCP, COUNT_RX_PACKETS)[0] != 0
        mark[5] = counter_of(leg, RTCP, COUNT_TX_PACKETS)[0] // reports
        marks.append((<char *>mark)[:sizeof(mark)])
    return marks
