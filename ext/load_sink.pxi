# The sink: finds the stream of a datagram by its SSRC, the packet by its sequence number and the time, opens it and
# holds it against what was sent. Arrivals are gathered, then looked at together: that is how the kernels are quick.
#
#    recvmmsg --> arrivals --> load_sort(): stream, number, what to look at --> unprotect_batch --> load_judge()
#
# Everything that arrives is foreign. A packet counts as received when all that was looked at is as it should be; every
# other outcome has a counter.

cdef enum:
    LOAD_EXAMINE_OCTETS = 16384     # and not more of them than this at a time
    LOAD_OFFSET_NS = 2000000        # the clocks' distance is measured anew this often
    LOAD_STEP_NS = 1000000          # a larger change of it is a clock that was set
    LOAD_AHEAD_NS = 1000000         # a packet from further in the future was not sent by us

cdef enum load_look:
    LOOK_DONE                       # counted
    LOOK_COUNT                      # count it
    LOOK_COMPARE                    # open it where it is encrypted, compare, count it

cdef struct load_slot:
    uint32_t ssrc
    uint32_t stream                 # + 1, 0: free

cdef struct load_found:
    const load_stream *stream
    uint64_t n
    uint64_t arrival_ns             # CLOCK_MONOTONIC
    uint32_t number                 # of the stream
    uint8_t look
    uint8_t fate

cdef struct load_sink:
    uint32_t waiting                # arrivals
    uint32_t waiting_octets
    load_slot *table                # open addressing
    uint32_t mask
    load_heard *heard               # by stream
    load_found found[LOAD_ARRIVALS]
    srtp_packet packets[LOAD_ARRIVALS]
    job_batch jobs
    int64_t offset_ns               # of the wall clock
    uint64_t offset_at_ns
    uint64_t counters[LOAD_COUNTER_COUNT]
    uint64_t latency[LOAD_BUCKETS]
    uint64_t latency_max_ns
    uint64_t latency_min_ns
    uint64_t cpu_ns
    uint64_t slept_ns
    uint32_t thread                 # 0: none of its own


cdef inline uint32_t load_slot_of(const load_sink *k, uint32_t ssrc) noexcept nogil:
    return <uint32_t>(ssrc * <uint64_t>0x9E3779B97F4A7C15 >> 32) & k.mask


cdef inline uint32_t load_find(const load_sink *k, uint32_t ssrc) noexcept nogil:
    """Number of the stream that comes out under this SSRC, + 1, or 0."""
    cdef uint32_t at = load_slot_of(k, ssrc)
    while k.table[at].stream:
        if k.table[at].ssrc == ssrc:
            return k.table[at].stream
        at = (at + 1) & k.mask
    return 0


cdef inline uint64_t load_nearest(const load_state *s, const load_stream *stream, uint16_t sequence,
                                  uint64_t arrival_ns) noexcept nogil:
    """The packet of this run with that sequence number whose time is nearest; "before the first" comes out huge."""
    cdef int64_t since_ns = <int64_t>(arrival_ns - s.origin_ns - stream.phase_ns[RTP])
    cdef uint64_t guess = <uint64_t>since_ns // stream.interval_ns[RTP] if since_ns > 0 else 0
    cdef int16_t ahead = <int16_t>(sequence - stream.first_sequence - <uint16_t>(stream.done[RTP] + guess))
    return guess + <uint64_t><int64_t>ahead


cdef inline uint64_t load_time_of(const load_state *s, const load_stream *stream, uint64_t n) noexcept nogil:
    return s.origin_ns + stream.phase_ns[RTP] + n * stream.interval_ns[RTP]


cdef bint load_was_sent(const load_state *s, const load_found *f) noexcept nogil:
    """Can this packet have been sent by now?"""
    cdef uint64_t scheduled_ns
    if f.n > <uint64_t>1 << 40:
        return False
    scheduled_ns = load_time_of(s, f.stream, f.n)
    if scheduled_ns >= s.end_ns or scheduled_ns > f.arrival_ns + LOAD_AHEAD_NS:
        return False
    return not f.fate & FATE_LOST


cdef inline uint8_t load_fate_of(const load_state *s, const load_stream *stream, uint64_t n) noexcept nogil:
    return load_fate(&s.asked, s.seed, stream.ssrc, stream.done[RTP] + n)


cdef bint load_is_forgery(const load_state *s, const load_stream *stream, uint64_t n, uint64_t kind) noexcept nogil:
    """Did a damaged copy of this kind leave with packet n?"""
    if not load_fate_of(s, stream, n) & FATE_FORGED:
        return False
    return load_forgery(s.seed, stream.ssrc, stream.done[RTP] + n) % FORGERIES == kind


cdef void load_blame(load_state *s, const load_found *f, const uint8_t *data, uint32_t counter) noexcept nogil:
    """Count an RTP packet that is not as it should be: as one of our forgeries, if it is one."""
    cdef uint64_t n
    if s.asked.forged:
        n = load_nearest(s, f.stream, rtp_sequence(data) ^ FORGE_SEQUENCE_BIT, f.arrival_ns)
        if load_is_forgery(s, f.stream, f.n, FORGE_PAYLOAD) or load_is_forgery(s, f.stream, n, FORGE_SEQUENCE):
            counter = LOAD_FORGED_RECEIVED
    s.sink.counters[counter] += 1


cdef void load_blame_stranger(load_state *s, const load_arrival *a, bint rtcp, uint64_t arrival_ns) noexcept nogil:
    """Count a packet of an SSRC that no stream has."""
    cdef load_sink *k = &s.sink
    cdef uint32_t number, counter = LOAD_UNKNOWN_SSRC
    cdef const load_stream *stream
    if s.asked.forged and not rtcp:
        number = load_find(k, rtp_ssrc(a.data) ^ <uint32_t>FORGE_SSRC_BITS)
        if number:
            stream = &s.streams[number - 1]
            if load_is_forgery(s, stream, load_nearest(s, stream, rtp_sequence(a.data), arrival_ns), FORGE_SSRC):
                counter = LOAD_FORGED_RECEIVED
    k.counters[counter] += 1


cdef inline bint load_in_clear(const load_state *s, const load_found *f, const load_arrival *a) noexcept nogil:
    """Are the first octets of the payload those that should have been encrypted?"""
    cdef uint32_t seen = min(<uint32_t>f.stream.payload_octets, <uint32_t>LOAD_CLEAR_SIGHT)
    if seen < LOAD_MARK or a.len < RTP_HEADER + seen:
        return False
    return load_same_payload(f.stream, s.seed, s.page, f.n, a.data, seen)


cdef inline bint load_sampled(const load_state *s, uint32_t ssrc, uint64_t n) noexcept nogil:
    return s.sample <= 1 or (load_hash(s.seed ^ 0x73616D70, ssrc, n) >> 32) * s.sample >> 32 == 0


cdef uint8_t load_sort_media(load_state *s, load_found *f, const load_arrival *a) noexcept nogil:
    """What is to be looked at in an RTP packet of a known stream."""
    cdef load_sink *k = &s.sink
    cdef const load_stream *stream = f.stream
    f.n = load_nearest(s, stream, rtp_sequence(a.data), f.arrival_ns)
    f.fate = load_fate_of(s, stream, f.n)
    if not load_was_sent(s, f):
        load_blame(s, f, a.data, LOAD_NEVER_SENT)
        return LOOK_DONE
    if stream.encrypted[RTP] and load_in_clear(s, f, a):
        k.counters[LOAD_IN_CLEAR] += 1
        return LOOK_DONE
    if a.len != RTP_HEADER + <uint32_t>stream.payload_octets + stream.trailer[RTP]:
        load_blame(s, f, a.data, LOAD_WRONG_LENGTH)
        return LOOK_DONE
    if f.fate & FATE_FORGED or f.n + LOAD_WINDOW < k.heard[f.number].next or load_sampled(s, stream.ssrc, f.n):
        return LOOK_COMPARE
    return LOOK_COUNT


cdef uint8_t load_sort_report(load_state *s, const load_found *f, const load_arrival *a) noexcept nogil:
    """What is to be looked at in an RTCP packet of a known stream: always all."""
    if f.stream.encrypted[RTCP] and load_same_report(f.stream, a.data, min(a.len, <uint32_t>LOAD_REPORT)):
        s.sink.counters[LOAD_RTCP_IN_CLEAR] += 1
        return LOOK_DONE
    return LOOK_COMPARE


cdef uint8_t load_sort(load_state *s, uint32_t i) noexcept nogil:
    """Everything that can be said before the tag."""
    cdef load_sink *k = &s.sink
    cdef const load_arrival *a = &load_arrivals(s.io)[i]
    cdef load_found *f = &k.found[i]
    cdef srtp_packet *packet = &k.packets[i]
    cdef packet_kind kind = classify(a.data, a.len)
    cdef bint rtcp = kind == KIND_RTCP
    memset(packet, 0, sizeof(srtp_packet))
    packet.plain = 1
    if a.truncated or (kind != KIND_RTP and not rtcp) or a.len < <uint32_t>(RTCP_HEADER if rtcp else RTP_HEADER):
        k.counters[LOAD_MALFORMED] += 1
        return LOOK_DONE
    f.number = load_find(k, load32(a.data + (4 if rtcp else 8)))
    if f.number == 0:
        load_blame_stranger(s, a, rtcp, f.arrival_ns)
        return LOOK_DONE
    f.number -= 1
    f.stream = &s.streams[f.number]
    if a.socket != f.stream.sink_socket[rtcp]:
        k.counters[LOAD_WRONG_SOCKET] += 1
        return LOOK_DONE
    if f.stream.source[rtcp].length and not load_address_same(&a.source, &f.stream.source[rtcp]):
        k.counters[LOAD_WRONG_SOURCE] += 1
        return LOOK_DONE
    packet.data = a.data
    packet.len = a.len
    packet.room = LOAD_SLOT
    packet.rtcp = rtcp
    packet.context = f.stream.receiver[rtcp]
    return load_sort_report(s, f, a) if rtcp else load_sort_media(s, f, a)


cdef inline bint load_seen(load_heard *heard, uint64_t n) noexcept nogil:
    """Mark a packet as received. Whether it was before; for one behind the window nobody knows."""
    cdef uint64_t *word = &heard.seen[(n % LOAD_WINDOW) >> 6]
    cdef uint64_t bit = <uint64_t>1 << (n & 63), passed
    if n >= heard.next:
        passed = n - heard.next
        ring_clear(heard.seen, LOAD_WINDOW, heard.next, passed + 1)
        heard.next = n + 1
    elif heard.next - n > LOAD_WINDOW:
        return False
    elif word[0] & bit:
        return True
    word[0] |= bit
    return False


cdef void load_count_jitter(load_heard *heard, int64_t transit_ns, bint first) noexcept nogil:
    """RFC 3550 6.4.1, A.8, in 1/16 ns instead of timestamp units."""
    cdef uint64_t change
    if not first:
        change = <uint64_t>(transit_ns - heard.transit_ns if transit_ns > heard.transit_ns
                            else heard.transit_ns - transit_ns)
        heard.jitter += change - ((heard.jitter + 8) >> 4)
        heard.jitter_max = max(heard.jitter_max, heard.jitter)
    heard.transit_ns = transit_ns


cdef void load_count_latency(load_state *s, load_heard *heard, int64_t latency_ns,
                             uint64_t scheduled_ns) noexcept nogil:
    cdef load_sink *k = &s.sink
    cdef load_second *second = load_second_of(s, scheduled_ns)
    cdef uint64_t latency = <uint64_t>latency_ns
    if latency_ns < 0:
        k.counters[LOAD_EARLY] += 1
        latency = 0
    k.latency[load_bucket(latency)] += 1
    k.latency_max_ns = max(k.latency_max_ns, latency)
    k.latency_min_ns = min(k.latency_min_ns, latency)
    heard.latency_max_ns = max(heard.latency_max_ns, latency)
    second.received += 1
    second.latency_max_ns = max(second.latency_max_ns, latency)


cdef void load_count_duplicate(load_state *s, const load_found *f) noexcept nogil:
    """A second arrival; an unexpected one counts in the warm-up too."""
    cdef bint measured = load_time_of(s, f.stream, f.n) >= s.measure_ns
    if not f.fate & FATE_TWICE:
        s.sink.counters[LOAD_UNEXPECTED_DUPLICATES] += 1
    else:
        s.sink.counters[LOAD_DUPLICATES] += measured
    s.sink.heard[f.number].duplicates += measured


cdef void load_count_media(load_state *s, const load_found *f, uint32_t octets) noexcept nogil:
    """A good RTP packet."""
    cdef load_sink *k = &s.sink
    cdef load_heard *heard = &k.heard[f.number]
    cdef uint64_t scheduled_ns = load_time_of(s, f.stream, f.n)
    cdef bint measured = scheduled_ns >= s.measure_ns
    cdef bint behind = f.n < heard.next, first = heard.next == 0
    cdef int64_t transit_ns = <int64_t>(f.arrival_ns - scheduled_ns)
    if behind and heard.next - f.n > LOAD_WINDOW:
        k.counters[LOAD_LATE] += 1
    if load_seen(heard, f.n):
        load_count_duplicate(s, f)
        return
    load_count_jitter(heard, transit_ns, first)
    if not measured:
        k.counters[LOAD_WARMUP_RECEIVED] += 1
        return
    k.counters[LOAD_RECEIVED] += 1
    k.counters[LOAD_RECEIVED_OCTETS] += octets
    k.counters[LOAD_REORDERED] += behind
    heard.received += 1
    heard.reordered += behind
    if f.fate & FATE_LATE:
        transit_ns -= <int64_t>load_delay(&s.asked, f.stream.interval_ns[RTP])
    load_count_latency(s, heard, transit_ns, scheduled_ns)


cdef void load_judge_media(load_state *s, const load_found *f, const srtp_packet *packet,
                           uint32_t octets) noexcept nogil:
    """An RTP packet after its tag."""
    cdef load_sink *k = &s.sink
    cdef uint8_t verdict = packet.verdict
    cdef load_heard *heard = &k.heard[f.number]
    if verdict == DROP_REPLAY and f.n < heard.next and load_seen(heard, f.n):
        load_count_duplicate(s, f)
    elif verdict in (DROP_REPLAY, DROP_TOO_OLD):
        load_blame(s, f, packet.data, LOAD_REPLAYED)
    elif verdict in (DROP_AUTH_FAILED, DROP_ROC_UNKNOWN):
        load_blame(s, f, packet.data, LOAD_AUTH_FAILED)
    elif verdict != DROP_NONE:
        load_blame(s, f, packet.data, LOAD_UNOPENED)
    elif f.look == LOOK_COUNT:
        load_count_media(s, f, octets)
    elif packet.len != RTP_HEADER + <uint32_t>f.stream.payload_octets or not load_same_media(
        f.stream, s.seed, s.page, f.n, packet.data
    ):
        load_blame(s, f, packet.data, LOAD_WRONG_CONTENT)
    else:
        k.counters[LOAD_VERIFIED] += load_time_of(s, f.stream, f.n) >= s.measure_ns
        load_count_media(s, f, octets)


cdef void load_judge_report(load_state *s, const load_found *f, const srtp_packet *packet) noexcept nogil:
    """An RTCP packet after its tag."""
    cdef uint32_t counter = LOAD_RTCP_RECEIVED
    if packet.verdict != DROP_NONE:
        counter = LOAD_RTCP_AUTH_FAILED
    elif not load_same_report(f.stream, packet.data, packet.len):
        counter = LOAD_RTCP_WRONG
    s.sink.counters[counter] += 1


cdef void load_stamp(load_state *s, uint32_t i, uint64_t now_ns) noexcept nogil:
    """When a datagram arrived, by the monotonic clock."""
    cdef uint64_t stamp_ns = load_arrivals(s.io)[i].stamp_ns
    if stamp_ns:
        s.sink.found[i].arrival_ns = stamp_ns - <uint64_t>s.sink.offset_ns
    else:
        s.sink.found[i].arrival_ns = now_ns
        s.sink.counters[LOAD_UNSTAMPED] += 1


cdef void load_watch_clock(load_sink *k, uint64_t now_ns) noexcept nogil:
    """Follow the distance between the clocks: the wall clock is slewed, and may be set."""
    cdef uint64_t error_ns
    cdef int64_t offset_ns
    if k.offset_at_ns and now_ns - k.offset_at_ns < LOAD_OFFSET_NS:
        return
    offset_ns = load_clock_offset(&error_ns)
    if k.offset_at_ns and not -LOAD_STEP_NS < offset_ns - k.offset_ns < LOAD_STEP_NS:
        k.counters[LOAD_CLOCK_STEPS] += 1
    k.offset_ns = offset_ns
    k.offset_at_ns = now_ns


cdef void load_examine(load_state *s, uint64_t now_ns) noexcept nogil:
    """Look at all arrivals that wait."""
    cdef load_sink *k = &s.sink
    cdef const load_arrival *arrivals = load_arrivals(s.io)
    cdef uint32_t i
    load_watch_clock(k, now_ns)
    for i in range(k.waiting):
        load_stamp(s, i, now_ns)
        k.found[i].look = load_sort(s, i)
        if k.found[i].look == LOOK_COMPARE:
            k.packets[i].plain = k.packets[i].context == 0
    unprotect_batch(k.packets, k.waiting, &k.jobs, now_ns)
    for i in range(k.waiting):
        if k.found[i].look == LOOK_DONE:
            continue
        if k.packets[i].rtcp:
            load_judge_report(s, &k.found[i], &k.packets[i])
        else:
            load_judge_media(s, &k.found[i], &k.packets[i], arrivals[i].len)
    k.waiting = k.waiting_octets = 0


cdef bint load_listen(load_state *s, uint64_t now_ns) noexcept nogil:
    """One step of the sink: receive some, or look at what has gathered. Whether it did anything."""
    cdef load_sink *k = &s.sink
    cdef int got, i
    if k.waiting == LOAD_ARRIVALS or k.waiting_octets >= LOAD_EXAMINE_OCTETS:
        load_examine(s, now_ns)
        return True
    got = load_receive(s.io, k.waiting)
    for i in range(got):
        k.waiting_octets += load_arrivals(s.io)[k.waiting + i].len
    k.waiting += got
    if got == 0 and k.waiting:
        load_examine(s, now_ns)
        return True
    return got > 0
