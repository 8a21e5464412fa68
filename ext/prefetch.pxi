# What a batch will touch is asked of memory before any of it is used: with thousands of legs each packet's state is out
# of the caches. Every step follows one link for the whole batch, so its misses overlap instead of adding up:
#
#   frame --> leg --> context, peer --> key, peer's context --> its key
#
# Nothing is decided here: a wrong guess (RTCP, a second source, a wide window) costs a miss later. Record number 0 may
# be asked for like any other.

cdef enum:
    CACHE_LINE = 64
    KEY_LINES = 4   # of a key, touched with AES-128-CM
    DATA_LINES = 3  # of a datagram: 20 ms of G.711


cdef inline void prefetch_lines(const void *start, int count) noexcept nogil:
    cdef int line
    for line in range(count):
        prefetch(<const uint8_t *>start + line * CACHE_LINE)


cdef inline void prefetch_context(uint32_t number) noexcept nogil:
    """A context and the source that it has in its own record."""
    if number:
        prefetch(&context_at(number).live)


cdef inline void prefetch_key(uint32_t number) noexcept nogil:
    """The key that a context uses."""
    cdef const srtp_context *context = context_at(number)
    if number:
        prefetch_lines(key_at(context.key[context.active].number), KEY_LINES)


cdef void prefetch_batch(const engine_frame *frames, int count, uint64_t realtime_ns) noexcept nogil:
    """realtime_ns: about when the batch will have left."""
    cdef const leg_record *leg
    cdef int i
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        prefetch(leg)
        prefetch(leg.received)
        prefetch_lines(frames[i].data, DATA_LINES)
        if realtime_ns > frames[i].received_ns:
            prefetch(&leg.relay_time[relay_bucket(realtime_ns - frames[i].received_ns)])
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        prefetch(leg_at(leg.peer).sent)
        prefetch_context(leg.receive[RTP])
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        prefetch_context(leg_at(leg.peer).send[RTP])
        prefetch_key(leg.receive[RTP])
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        prefetch_key(leg_at(leg.peer).send[RTP])
