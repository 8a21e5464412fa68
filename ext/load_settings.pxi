# What Python asks of the load generator, checked and put into records, and its numbers as Python takes them.

cdef enum:
    LOAD_LEAD_NS = 50000000         # from start() to the first packet
    LOAD_STREAMS_MAX = 1 << 20
    LOAD_SECONDS_MAX = 100000       # of one run
    LOAD_INTERVAL_MIN_NS = 100000
    LOAD_INTERVAL_MAX_NS = 10000000000
    LOAD_DRAIN_MAX_NS = 60000000000
    LOAD_DEPTH_MAX = 16             # intervals


cdef uint64_t load_share(double fraction, str what) except? 0:
    """A fraction as a threshold in 1/2^32."""
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"{what} is a fraction from 0 to 1")
    return <uint64_t>(fraction * 4294967296.0 + 0.5)


cdef uint64_t load_in_range(object value, uint64_t least, uint64_t most, str what) except? 0:
    if not least <= value <= most:
        raise ValueError(f"{what} is {least} to {most}, not {value}")
    return value


cdef int load_set_route(load_stream *stream, bint rtcp, tuple sockets, tuple destination,
                        tuple source, list endpoints) except -1:
    """Which sockets the packets of a stream leave from and arrive at, and the gateway's ports for that."""
    cdef endpoint address
    for what, number in zip(("socket", "sink_socket"), sockets):
        if not 0 <= number < len(endpoints):
            raise ValueError(f"there is no socket {number} ({what})")
    if not destination or destination[0] != endpoints[sockets[0]][0] or not destination[2] or not any(destination[1]):
        raise ValueError("a destination is an address and port of the socket's own family")
    stream.socket[rtcp] = sockets[0]
    stream.sink_socket[rtcp] = sockets[1]
    parse_endpoint(&address, destination)
    load_address_set(&stream.to[rtcp], &address)
    parse_endpoint(&address, source)
    load_address_set(&stream.source[rtcp], &address)
    return 0


cdef int load_set_contexts(load_stream *stream, Context sender, Context receiver) except -1:
    """How a stream is protected on its way in, and on its way out."""
    cdef const srtp_context *context
    cdef int rtcp
    if sender is not None:
        sender.check()
        if not sender.sender:
            raise TypeError("the sender is a receiving context")
        stream.sender[RTP] = sender.number[RTP]
        stream.sender[RTCP] = sender.number[RTCP]
    if receiver is None:
        return 0
    receiver.check()
    if receiver.sender:
        raise TypeError("the receiver is a sending context")
    for rtcp in range(2):
        context = context_at(receiver.number[rtcp])
        stream.receiver[rtcp] = receiver.number[rtcp]
        stream.encrypted[rtcp] = context.flags & CONTEXT_ENCRYPT != 0 and srtp_suites[context.suite].encrypts
        stream.trailer[rtcp] = context.tag_len + context.mki_len + (4 if rtcp else 0)
    return 0


cdef int load_allocate(load_state *s, uint32_t count, uint64_t seconds) except -1:
    """Fresh records for a run of the first `count` streams."""
    cdef load_sink *k = &s.sink
    cdef uint32_t slots = 16, at, i
    while slots < 2 * count:
        slots *= 2
    s.generator.spoken = <load_spoken *>calloc(count, sizeof(load_spoken))
    k.heard = <load_heard *>calloc(count, sizeof(load_heard))
    k.table = <load_slot *>calloc(slots, sizeof(load_slot))
    s.seconds = <load_second *>calloc(seconds, sizeof(load_second))
    if s.generator.spoken == NULL or k.heard == NULL or k.table == NULL or s.seconds == NULL:
        raise MemoryError
    s.second_count = seconds
    s.stream_count = count
    k.mask = slots - 1
    for i in range(count):
        s.generator.spoken[i].sent_ever = s.streams[i].done[RTP]
        at = load_slot_of(k, s.streams[i].out_ssrc)
        while k.table[at].stream:
            at = (at + 1) & k.mask
        k.table[at].ssrc = s.streams[i].out_ssrc
        k.table[at].stream = i + 1
    return 0


cdef void load_reset(load_state *s) noexcept:
    """Everything that is counted begins anew."""
    cdef load_generator *g = &s.generator
    cdef load_sink *k = &s.sink
    memset(g.counters, 0, sizeof(g.counters))
    memset(g.lateness, 0, sizeof(g.lateness))
    memset(k.counters, 0, sizeof(k.counters))
    memset(k.latency, 0, sizeof(k.latency))
    g.head = g.tail = 0
    g.planned_all = 0
    g.lateness_max_ns = g.cpu_ns = g.spun_ns = g.slept_ns = 0
    k.latency_max_ns = k.cpu_ns = k.slept_ns = 0
    k.latency_min_ns = LOAD_NEVER
    k.waiting = k.waiting_octets = 0
    g.thread = k.thread = 0
    g.send_errno = 0
    k.offset_at_ns = 0
    s.ended_ns = 0
    s.stop = s.sent_all = s.ended = 0


cdef void load_schedule(load_state *s, uint64_t origin_ns, uint64_t warmup_ns, uint64_t duration_ns,
                        uint64_t drain_ns) noexcept:
    cdef uint64_t error_ns, latest_ns = 0
    cdef uint32_t i
    if s.asked.late:
        for i in range(s.stream_count):
            latest_ns = max(latest_ns, load_delay(&s.asked, s.streams[i].interval_ns[RTP]))
    s.origin_ns = origin_ns
    s.measure_ns = origin_ns + warmup_ns
    s.end_ns = s.measure_ns + duration_ns
    s.give_up_ns = s.end_ns + latest_ns + drain_ns
    s.drain_ns = drain_ns
    s.wall_ns = load_clock_offset(&error_ns)
    plan_start(&s.generator.plan, s.origin_ns, s.end_ns)


cdef bytes load_octets(const void *numbers, size_t count):
    """Numbers of 64 bits as octets, in the machine's order."""
    return (<const char *>numbers)[: 8 * count]


cdef dict load_stream_numbers(const load_state *s):
    """Arrays by stream."""
    cdef uint32_t i, count = s.stream_count
    cdef const load_heard *heard
    cdef uint64_t *rows = <uint64_t *>calloc(7 * count + 1, sizeof(uint64_t))
    if rows == NULL:
        raise MemoryError
    for i in range(count):
        heard = &s.sink.heard[i]
        rows[i] = s.generator.spoken[i].sent
        rows[count + i] = heard.received
        rows[2 * count + i] = heard.duplicates
        rows[3 * count + i] = heard.reordered
        rows[4 * count + i] = heard.jitter >> 4
        rows[5 * count + i] = heard.jitter_max >> 4
        rows[6 * count + i] = heard.latency_max_ns
    names = ("sent", "received", "duplicates", "reordered", "jitter_ns", "jitter_max_ns", "latency_max_ns")
    arrays = {names[i]: load_octets(rows + i * count, count) for i in range(7)}
    free(rows)
    return arrays


cdef dict load_second_numbers(const load_state *s):
    """Arrays by second of the schedule."""
    names = ("sent", "lateness_max_ns", "received", "latency_max_ns")
    whole = load_octets(s.seconds, 4 * s.second_count)
    return {names[i]: b"".join(whole[at:at + 8] for at in range(8 * i, len(whole), 32)) for i in range(4)}


def load_bucket_edges():
    """Where the buckets of histograms begin, and the end of the last: LOAD_BUCKETS + 1 numbers of 64 bits (ns)."""
    cdef uint32_t i
    return b"".join([int(load_bucket_edge(i)).to_bytes(8, sys.byteorder) for i in range(LOAD_BUCKETS + 1)])


def load_bucket_of(uint64_t ns):
    """The bucket that counts a time."""
    return load_bucket(ns)
