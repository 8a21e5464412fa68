# Legs: their records, and the changes that the control side makes to them. A change runs on the leg's worker, between
# two batches (Worker.call), so that no packet sees half of one.

cdef struct leg_change:
    uint32_t leg
    leg_record settings         # the fields of leg_settings() only
    uint32_t context[4]         # receive RTP, RTCP, send RTP, RTCP
    uint32_t replaced[4]        # out: contexts that are out of use now
    uint32_t stale[4]           # out: the keys before those
    uint32_t peer
    uint8_t forward
    uint8_t readdress           # the remote addresses were signaled anew
    uint64_t overlap_until_ns


cdef int parse_endpoint(endpoint *out, tuple address) except -1:
    """(family, packed address, port, scope), or () for none."""
    cdef bytes octets
    memset(out, 0, sizeof(endpoint))
    if not address:
        return 0
    out.family = address[0]
    octets = address[1]
    if len(octets) != (4 if out.family == 4 else 16):
        raise ValueError("an address has 4 or 16 octets")
    memcpy(out.address, <const char *>octets, len(octets))
    out.port = address[2]
    out.scope = address[3]
    return 0


cdef tuple endpoint_tuple(const endpoint *e):
    if e.family == 0:
        return ()
    return e.family, (<const char *>e.address)[: 4 if e.family == 4 else 16], e.port, e.scope


cdef int fill_settings(leg_record *leg, dict settings) except -1:
    """The part of a leg that may change while media flows."""
    leg.encrypted = settings["encrypted"]
    leg.source_rule = settings["source_rule"]
    leg.mux = settings["mux"]
    leg.hold = settings["hold"]
    leg.clock_rate = settings["clock_rate"]
    leg.timeout_ns = settings["timeout_ns"]
    parse_endpoint(&leg.remote, settings["remote"])
    parse_endpoint(&leg.remote_rtcp, settings["remote_rtcp"])
    copy_settings(leg)
    return 0


cdef void copy_settings(leg_record *leg) noexcept nogil:
    """What packets that leave need lies in their line as well."""
    leg.target = leg.remote
    leg.target_encrypted = leg.encrypted
    leg.target_mux = leg.mux
    leg.target_hold = leg.hold
    leg.watched = leg.timeout_ns != 0


cdef void apply_settings(void *argument) noexcept nogil:
    """Take over new settings. Remote addresses that were not signaled anew stay as they were learnt."""
    cdef leg_change *change = <leg_change *>argument
    cdef leg_record *leg = leg_at(change.leg)
    cdef leg_record *told = &change.settings
    cdef int i
    leg.encrypted = told.encrypted
    leg.source_rule = told.source_rule
    leg.mux = told.mux
    if leg.hold != told.hold or leg.timeout_ns != told.timeout_ns:
        leg.activated_ns = told.activated_ns  # silence counts from here on
        leg.timed_out = 0
    leg.hold = told.hold
    leg.clock_rate = told.clock_rate
    leg.timeout_ns = told.timeout_ns
    if change.readdress:
        for i in range(2):
            set_remote(leg, i, remote_of(told, i))
            leg.latched[i] = 0
    copy_settings(leg)


cdef void apply_contexts(void *argument) noexcept nogil:
    """Put new contexts in the place of those in use: a re-key. Where there is one before, rollover counters go on from
    it and, receiving, its key is good until the overlap ends."""
    cdef leg_change *change = <leg_change *>argument
    cdef leg_record *leg = leg_at(change.leg)
    cdef srtp_context *fresh
    cdef srtp_context *old
    cdef uint32_t *place
    cdef int i
    for i in range(4):
        if change.context[i] == 0:
            continue
        place = &leg.receive[i] if i < 2 else &leg.send[i - 2]
        fresh = context_at(change.context[i])
        change.replaced[i] = place[0]
        if place[0]:
            old = context_at(place[0])
            carry_sources(place[0])
            change.stale[i] = old.previous
            old.previous = 0
            fresh.previous = place[0]
            fresh.overlap_until_ns = change.overlap_until_ns
            fresh.flags |= old.flags & CONTEXT_RENAME
        if i < 2:
            set_verify(fresh, leg.forward)
        place[0] = change.context[i]


cdef void apply_join(void *argument) noexcept nogil:
    """Join a leg to its peer (0: part them). What is forwarded as it is, is authenticated only."""
    cdef leg_change *change = <leg_change *>argument
    cdef leg_record *leg = leg_at(change.leg)
    cdef int i
    leg.peer = change.peer
    leg.forward = change.forward
    for i in range(2):
        if leg.receive[i]:
            set_verify(context_at(leg.receive[i]), change.forward)


cdef void apply_activation(void *argument) noexcept nogil:
    leg_at((<leg_change *>argument).leg).live = 1


cdef void apply_removal(void *argument) noexcept nogil:
    cdef leg_record *leg = leg_at((<leg_change *>argument).leg)
    leg.live = 0
    leg.peer = 0
    memset(leg.receive, 0, 2 * sizeof(uint32_t))
    memset(leg.send, 0, 2 * sizeof(uint32_t))


cdef class Leg:
    """Owns a leg record and the contexts in use on it. Every change goes through the worker that the leg is on."""
    cdef readonly uint32_t number
    cdef readonly Worker worker
    cdef readonly Context receiver
    cdef readonly Context sender

    def __cinit__(self, Worker worker not None, dict settings not None):
        self.number = arena_take(&STATE.legs)
        if self.number == 0:
            raise MemoryError("no room for another leg")
        self.worker = worker
        fill_settings(leg_at(self.number), settings)
        leg_at(self.number).type = settings["type"]

    def __dealloc__(self):
        arena_give(&STATE.legs, self.number)

    cdef int change(self, worker_call call, leg_change *change) except -1:
        change.leg = self.number
        self.worker.call(call, change)
        return 0

    def activate(self):
        """Let packets in. Counts the media timeout from now on."""
        cdef leg_change change
        leg_at(self.number).activated_ns = monotonic_ns()
        self.change(apply_activation, &change)

    def deactivate(self):
        """Let nothing in or out any more, and give up the contexts."""
        cdef leg_change change
        self.change(apply_removal, &change)
        self.receiver = self.sender = None

    def move(self, Worker worker not None):
        """Belong to another worker; only while none of its ports is attached."""
        self.worker = worker

    def update(self, dict settings not None, bint remote):
        """New settings; `remote` says that the addresses were signaled anew."""
        cdef leg_change change
        memset(&change, 0, sizeof(change))
        fill_settings(&change.settings, settings)
        change.settings.activated_ns = monotonic_ns()
        change.readdress = remote
        self.change(apply_settings, &change)

    def set_contexts(self, Context receiver, Context sender, uint64_t overlap_until_ns):
        """New keys each way, or None for as before."""
        cdef leg_change change
        memset(&change, 0, sizeof(change))
        change.overlap_until_ns = overlap_until_ns
        for i in range(2):
            if receiver is not None:
                change.context[i] = receiver.number[i]
            if sender is not None:
                change.context[2 + i] = sender.number[i]
        self.change(apply_contexts, &change)
        for i in range(4):
            free_context(change.stale[i])
        # what was replaced now hangs behind the new context, which frees it
        if receiver is not None:
            spend(self.receiver)
            self.receiver = receiver
        if sender is not None:
            spend(self.sender)
            self.sender = sender

    def join(self, Leg peer, bint forward):
        """Send what arrives here out of `peer` (None: nowhere); `forward`: verified, as the identical octets."""
        cdef leg_change change
        change.peer = 0 if peer is None else peer.number
        change.forward = forward
        self.change(apply_join, &change)

    def export_sending_state(self):
        """The sending context's indices and windows (b"" on a plain leg), copied on the worker."""
        cdef state_copy copy
        if self.sender is None:
            return b""
        copy.contexts = self.sender.number
        copy.out = NULL
        self.worker.call(copy_state, &copy)
        if copy.out == NULL:
            raise MemoryError
        octets = (<char *>copy.out)[:copy.size]
        free(copy.out)
        return octets


cdef struct state_copy:
    uint32_t *contexts
    uint8_t *out
    size_t size


cdef void copy_state(void *argument) noexcept nogil:
    cdef state_copy *copy = <state_copy *>argument
    cdef size_t first
    carry_sources(copy.contexts[RTP])
    first = state_size(context_at(copy.contexts[RTP]))
    copy.size = first + state_size(context_at(copy.contexts[RTCP]))
    copy.out = <uint8_t *>malloc(copy.size)
    if copy.out != NULL:
        export_context(context_at(copy.contexts[RTP]), copy.out)
        export_context(context_at(copy.contexts[RTCP]), copy.out + first)


cdef void spend(Context context):
    """Its records hang behind another context now."""
    if context is not None:
        context.number[RTP] = context.number[RTCP] = 0
