# What a batch will touch is asked of memory before any of it is used: with thousands of legs each packet's state is out
# of the caches. Every step follows one link for the whole batch, so its misses overlap instead of adding up:
#
#   frame -> leg, its counters -> context, peer, its counters -> stream, key     (receiving)
#                                            peer -> context -> stream, key      (sending)
#
# Nothing is decided here: a wrong guess (RTCP, a second source, a wide window) costs a miss later. Record number 0 may be
# asked for like any other.

cdef enum:
    CACHE_LINE = 64
    KEY_LINES = 4   # of a key, touched with AES-128-CM


cdef inline void prefetch_context(uint32_t number, const uint8_t *rtp) noexcept nogil:
    """A context and the source that it has in its own record, as far as the packet at `rtp` touches them."""
    cdef const srtp_context *context = context_at(number)
    prefetch(&context.live)


cdef inline void prefetch_key(uint32_t number) noexcept nogil:
    cdef const srtp_context *context = context_at(number)
    cdef const uint8_t *key = <const uint8_t *>key_at(context.key[context.active].number)
    cdef int line
    for line in range(KEY_LINES):
        prefetch(key + line * CACHE_LINE)


cdef void prefetch_batch(const engine_frame *frames, int count, uint64_t realtime_ns) noexcept nogil:
    """realtime_ns: about the time when the batch will have left."""
    cdef const leg_record *leg
    cdef const leg_record *peer
    cdef int i
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        prefetch(leg)
        prefetch(leg.received)
        prefetch(frames[i].data)
        if realtime_ns > frames[i].received_ns:
            prefetch(&leg.relay_time[relay_bucket(realtime_ns - frames[i].received_ns)])
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        peer = leg_at(leg.peer)
        prefetch(peer.sent)
        if leg.receive[RTP]:
            prefetch_context(leg.receive[RTP], frames[i].data)
    for i in range(count):
        leg = leg_at(frames[i].port >> 1)
        peer = leg_at(leg.peer)
        if peer.send[RTP]:
            prefetch_context(peer.send[RTP], frames[i].data)
        if leg.receive[RTP]:
            prefetch_key(leg.receive[RTP])
    for i in range(count):
        peer = leg_at(leg_at(frames[i].port >> 1).peer)
        if peer.send[RTP]:
            prefetch_key(peer.send[RTP])
