# The generator: packets are made and protected ahead of time, in batches, so that nothing but the send is left to do
# when they are due.
#
#    plan_next() --> load_prepare(): build, protect_batch --> queue, in sending order --> load_send_due(): sendmmsg
#                                                             ^ head            ^ tail
#
# A forgery stands in the queue before the packet that it copies, a second copy behind it.

cdef enum:
    LOAD_QUEUE = 128                # datagrams made ahead, a power of two
    LOAD_SPARE = 4                  # a copy uses the buffer of the place before: that one is not filled anew yet
    LOAD_PREPARE = 32               # packets made at a time: about 8 us
    LOAD_PREPARE_OCTETS = 16384     # and not more of them than this
    LOAD_LOOK = 256                 # packets looked at at a time, as all of them may be withheld

cdef enum load_kind:
    SEND_NOTHING
    SEND_RTP
    SEND_RTCP
    SEND_AGAIN
    SEND_FORGED

cdef struct load_state             # in load.pxi

cdef struct load_generator:
    load_plan plan
    load_datagram queue[LOAD_QUEUE]
    uint8_t *slots                  # LOAD_QUEUE of LOAD_SLOT octets
    uint32_t head                   # free running
    uint32_t tail
    uint8_t planned_all
    uint32_t count                  # of the batch at hand
    uint32_t place[LOAD_PREPARE]    # of each of its packets in the queue
    uint64_t n[LOAD_PREPARE]
    uint8_t fate[LOAD_PREPARE]
    srtp_packet packets[LOAD_PREPARE]
    job_batch jobs
    load_spoken *spoken             # by stream
    uint64_t counters[LOAD_COUNTER_COUNT]
    uint64_t lateness[LOAD_BUCKETS]
    uint64_t lateness_max_ns
    uint64_t cpu_ns
    uint64_t spun_ns
    uint64_t slept_ns
    uint32_t thread                 # as the kernel numbers it
    int send_errno                  # the last one


cdef inline load_datagram *load_place(load_generator *g, uint32_t place) noexcept nogil:
    return &g.queue[place & (LOAD_QUEUE - 1)]


cdef load_datagram *load_append(load_generator *g, const load_due *due, uint8_t kind) noexcept nogil:
    """The next place of the queue, addressed as the stream's packets are."""
    cdef load_datagram *d = load_place(g, g.head)
    cdef const load_stream *stream = &g.plan.streams[due.stream]
    d.data = g.slots + <size_t>(g.head & (LOAD_QUEUE - 1)) * LOAD_SLOT
    d.kind = kind
    d.stream = due.stream
    d.due_ns = due.due_ns
    d.scheduled_ns = due.scheduled_ns
    d.socket = stream.socket[due.rtcp]
    d.to = &stream.to[due.rtcp]
    g.head += 1
    return d


cdef void load_build(load_state *s, const load_due *due, uint8_t fate) noexcept nogil:
    """A packet without its protection, with the places of its copies."""
    cdef load_generator *g = &s.generator
    cdef const load_stream *stream = &g.plan.streams[due.stream]
    cdef load_spoken *spoken = &g.spoken[due.stream]
    cdef load_datagram *d
    cdef srtp_packet *packet = &g.packets[g.count]
    if fate & FATE_FORGED:
        load_append(g, due, SEND_FORGED)
    g.place[g.count] = g.head
    g.n[g.count] = due.n
    g.fate[g.count] = fate
    g.count += 1
    d = load_append(g, due, SEND_RTCP if due.rtcp else SEND_RTP)
    if due.rtcp:
        load_fill_report(stream, spoken, due.due_ns - s.origin_ns, due.due_ns + s.wall_ns, d.data)
    else:
        load_fill_media(stream, s.seed, s.page, due.n, d.data)
        spoken.sent_ever += 1
    if fate & FATE_TWICE:
        load_append(g, due, SEND_AGAIN)
    memset(packet, 0, sizeof(srtp_packet))
    packet.data = d.data
    packet.len = LOAD_REPORT if due.rtcp else RTP_HEADER + <uint32_t>stream.payload_octets
    packet.room = LOAD_SLOT
    packet.rtcp = due.rtcp
    packet.context = stream.sender[due.rtcp]
    packet.plain = packet.context == 0


cdef uint32_t load_decide(load_state *s, load_due *due) noexcept nogil:
    """Carry out what is to happen to a packet on purpose; build it if it is to leave now. Its octets."""
    cdef load_generator *g = &s.generator
    cdef const load_stream *stream = &g.plan.streams[due.stream]
    cdef bint measured = due.scheduled_ns >= s.measure_ns
    cdef uint8_t fate
    if due.rtcp:
        load_build(s, due, 0)
        return LOAD_REPORT
    fate = load_fate(&s.asked, s.seed, stream.ssrc, stream.done[RTP] + due.n)
    if not due.delayed:
        g.counters[LOAD_PLANNED] += measured
        if fate & FATE_LOST:
            g.counters[LOAD_WITHHELD] += measured
            return 0
        if fate & FATE_LATE:
            due.due_ns += load_delay(&s.asked, stream.interval_ns[RTP])
            due.delayed = 1
            plan_delay(&g.plan, due)
            g.counters[LOAD_DELAYED] += measured
            return 0
    if fate & FATE_FORGED and stream.sender[RTP] == 0 and s.asked.stranger < 0:
        fate &= ~FATE_FORGED
    load_build(s, due, fate)
    return stream.payload_octets


cdef void load_finish(load_state *s, uint32_t i) noexcept nogil:
    """After protection: lengths, and the copies."""
    cdef load_generator *g = &s.generator
    cdef load_datagram *d = load_place(g, g.place[i])
    cdef load_datagram *copy
    cdef const load_stream *stream = &g.plan.streams[d.stream]
    cdef bint refused = g.packets[i].verdict != DROP_NONE
    if refused:
        g.counters[LOAD_REFUSED] += 1
        d.kind = SEND_NOTHING
    d.len = g.packets[i].len
    if g.fate[i] & FATE_TWICE:
        copy = load_place(g, g.place[i] + 1)
        copy.data = d.data
        copy.len = d.len
        copy.kind = SEND_NOTHING if refused else SEND_AGAIN
    if g.fate[i] & FATE_FORGED:
        copy = load_place(g, g.place[i] - 1)
        memcpy(copy.data, d.data, d.len)
        copy.len = d.len
        copy.kind = SEND_NOTHING if refused else SEND_FORGED
        load_damage(stream, load_forgery(s.seed, stream.ssrc, stream.done[RTP] + g.n[i]), copy.data)
        if stream.sender[RTP] == 0:
            copy.socket = <uint16_t>s.asked.stranger


cdef bint load_prepare(load_state *s) noexcept nogil:
    """Make the next packets, if there is room for a batch. Whether it did anything."""
    cdef load_generator *g = &s.generator
    cdef load_due due
    cdef uint32_t octets = 0, looked = 0, i
    if g.planned_all or g.head - g.tail > LOAD_QUEUE - LOAD_SPARE - 2 * LOAD_PREPARE:
        return False
    g.count = 0
    while (
        g.count < LOAD_PREPARE
        and octets < LOAD_PREPARE_OCTETS
        and looked < LOAD_LOOK
        and g.head - g.tail <= LOAD_QUEUE - LOAD_SPARE - 3  # a packet has up to two copies
    ):
        if not plan_next(&g.plan, &due):
            g.planned_all = 1
            break
        octets += load_decide(s, &due)
        looked += 1
    protect_batch(g.packets, g.count, &g.jobs)
    for i in range(g.count):
        load_finish(s, i)
    return True


cdef void load_count_sent(load_state *s, const load_datagram *d, uint64_t moment_ns) noexcept nogil:
    """What became of a datagram that was handed to the kernel at this moment."""
    cdef load_generator *g = &s.generator
    cdef uint64_t late_ns = moment_ns - d.due_ns if moment_ns > d.due_ns else 0
    cdef load_second *second
    if not d.sent:
        g.counters[LOAD_SEND_FAILED] += 1
    elif d.kind == SEND_RTCP:
        g.counters[LOAD_RTCP_SENT] += 1
    elif d.kind == SEND_FORGED:
        g.counters[LOAD_FORGED] += 1
    elif d.kind == SEND_AGAIN:
        g.counters[LOAD_DUPLICATED] += d.scheduled_ns >= s.measure_ns
    elif d.scheduled_ns < s.measure_ns:
        g.counters[LOAD_WARMUP_SENT] += 1
    else:
        g.counters[LOAD_SENT] += 1
        g.counters[LOAD_SENT_OCTETS] += d.len
        g.spoken[d.stream].sent += 1
        g.lateness[load_bucket(late_ns)] += 1
        g.lateness_max_ns = max(g.lateness_max_ns, late_ns)
        second = load_second_of(s, d.scheduled_ns)
        second.sent += 1
        second.lateness_max_ns = max(second.lateness_max_ns, late_ns)


cdef void load_send_group(load_state *s, load_datagram **group, int count) noexcept nogil:
    """Send datagrams of one socket. The kernel takes one after the other: the moment of each lies between the begin of
    the call and its end."""
    cdef uint64_t begin_ns = monotonic_ns(), took_ns
    cdef int i, error = load_send(s.io, group[0].socket, group, count)
    took_ns = monotonic_ns() - begin_ns
    if error:
        s.generator.send_errno = error
    for i in range(count):
        load_count_sent(s, group[i], begin_ns + took_ns * <uint64_t>i // <uint64_t>count)


cdef bint load_send_due(load_state *s, uint64_t now_ns) noexcept nogil:
    """Send what is due, at most a batch of it. Whether there was anything."""
    cdef load_generator *g = &s.generator
    cdef load_datagram *due[LOAD_SEND_BATCH]
    cdef load_datagram *group[LOAD_SEND_BATCH]
    cdef load_datagram *d
    cdef int count = 0, members, i, j
    cdef uint32_t taken = g.tail
    while count < LOAD_SEND_BATCH and taken != g.head and load_place(g, taken).due_ns <= now_ns:
        d = load_place(g, taken)
        taken += 1
        if d.kind != SEND_NOTHING:
            due[count] = d
            count += 1
    for i in range(count):
        if due[i] == NULL:
            continue
        members = 0
        for j in range(i, count):
            if due[j] != NULL and (j == i or due[j].socket == group[0].socket):
                group[members] = due[j]
                members += 1
                due[j] = NULL
        load_send_group(s, group, members)
    if taken == g.tail:
        return False
    g.tail = taken
    return True


cdef inline uint64_t load_next_due(const load_generator *g) noexcept nogil:
    return g.queue[g.tail & (LOAD_QUEUE - 1)].due_ns if g.tail != g.head else LOAD_NEVER


cdef inline bint load_all_sent(const load_generator *g) noexcept nogil:
    return g.planned_all and g.tail == g.head


cdef void load_give_up(load_state *s, bint count_rest) noexcept nogil:
    """The run is over: count what was not sent. One that was told to stop ends its schedule there; of one that could
    not keep up the rest counts too."""
    cdef load_generator *g = &s.generator
    cdef load_due due
    while g.tail != g.head:
        if load_place(g, g.tail).kind == SEND_RTP and load_place(g, g.tail).scheduled_ns >= s.measure_ns:
            g.counters[LOAD_UNSENT] += 1
        g.tail += 1
    while g.plan.heap_count:
        plan_take_delayed(&g.plan, &due)
        g.counters[LOAD_UNSENT] += due.scheduled_ns >= s.measure_ns
    while count_rest and not load_acquire(&s.stop) and plan_next(&g.plan, &due):
        if not due.rtcp and due.scheduled_ns >= s.measure_ns:
            g.counters[LOAD_PLANNED] += 1
            g.counters[LOAD_UNSENT] += 1
    g.planned_all = 1
