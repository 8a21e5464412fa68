# relay_batch(): what happens to packets between receive and send. No system call, no clock, no allocation: frames and
# the time go in, verdicts and the frames that are to leave come out.
#
#   admit -> unprotect -> arrived (learn, count) -> depart (where to, as what) -> protect -> leave
#
# Nothing before the tag is kept, but for counters of what was refused.

cdef struct relay_state:
    srtp_packet packets[ENGINE_BATCH]
    job_batch jobs
    engine_frame *leaving[ENGINE_BATCH]
    uint32_t arrived_at[ENGINE_BATCH]   # by position in `leaving`: the leg that the frame came in by
    uint8_t rtcp[ENGINE_BATCH]
    uint32_t leg[ENGINE_BATCH]          # by position in the batch
    event_ring *events
    uint64_t realtime_offset_ns         # to the monotonic clock, as it was after the last batch


cdef inline bint same_endpoint(const endpoint *a, const endpoint *b) noexcept nogil:
    return memcmp(a, b, sizeof(endpoint)) == 0


cdef inline uint32_t remote_slot(const leg_record *leg, bint rtcp) noexcept nogil:
    return RTCP if rtcp and not leg.mux else RTP


cdef uint8_t check_source(const leg_record *leg, const engine_frame *frame, bint rtcp) noexcept nogil:
    """The leg's source rule, as far as it can be told before the tag."""
    cdef uint32_t slot = remote_slot(leg, rtcp)
    if leg.source_rule == SOURCE_AUTHENTICATED:
        return DROP_NONE
    if leg.source_rule == SOURCE_LEARN_ONCE and not leg.latched[slot]:
        return DROP_NONE
    return DROP_NONE if same_endpoint(&frame.remote, remote_of(leg, slot)) else DROP_WRONG_SOURCE


cdef uint8_t check_kind(const leg_record *leg, packet_kind kind, bint rtcp_port) noexcept nogil:
    """Is it media, and of the kind that belongs at this port?"""
    if kind == KIND_RTP:
        return DROP_UNEXPECTED_RTP if rtcp_port else DROP_NONE
    if kind == KIND_RTCP:
        return DROP_NONE if rtcp_port or leg.mux else DROP_UNEXPECTED_RTCP
    if kind == KIND_SHORT:
        return DROP_TOO_SHORT
    if kind == KIND_STUN:
        return DROP_STUN
    return DROP_DTLS if kind == KIND_DTLS else DROP_NOT_MEDIA


cdef uint8_t check_plain(const engine_frame *frame, bint rtcp) noexcept nogil:
    """The headers of a packet that no tag vouches for, and its padding (RFC 3550 5.1)."""
    cdef uint32_t header, padding
    if rtcp:
        if frame.len < RTCP_HEADER:
            return DROP_TOO_SHORT
        return DROP_NONE if rtcp_well_formed(frame.data, frame.len) else DROP_MALFORMED
    if frame.len < RTP_HEADER:
        return DROP_TOO_SHORT
    header = rtp_header_length(frame.data, frame.len)
    if header == 0:
        return DROP_MALFORMED
    if frame.data[0] & RTP_PADDED:
        padding = frame.data[frame.len - 1]
        if padding == 0 or padding > frame.len - header:
            return DROP_MALFORMED
    return DROP_NONE


cdef void admit(leg_record *leg, const engine_frame *frame, srtp_packet *packet) noexcept nogil:
    """Everything that can be said before the tag."""
    cdef packet_kind kind = classify(frame.data, frame.len)
    cdef bint rtcp_port = frame.port & 1
    memset(packet, 0, sizeof(srtp_packet))
    packet.rtcp = kind == KIND_RTCP or (kind != KIND_RTP and rtcp_port)
    packet.data = frame.data
    packet.len = frame.len
    packet.room = min(frame.capacity, <uint32_t>ENGINE_FRAME_MAX + SRTP_TAIL_ROOM)
    counter_of(leg, packet.rtcp, COUNT_RX_PACKETS)[0] += 1
    counter_of(leg, packet.rtcp, COUNT_RX_OCTETS)[0] += frame.len
    if frame.truncated:
        packet.verdict = DROP_TOO_LONG
        return
    packet.verdict = check_kind(leg, kind, rtcp_port)
    if packet.verdict == DROP_NONE:
        packet.verdict = check_source(leg, frame, packet.rtcp)
    if packet.verdict != DROP_NONE:
        return
    packet.context = leg.receive[packet.rtcp]
    packet.plain = packet.context == 0 and not leg.encrypted
    if packet.plain:
        packet.verdict = check_plain(frame, packet.rtcp)


cdef void learn_source(relay_state *self, uint32_t number, leg_record *leg, const engine_frame *frame,
                       const srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    """An authentic newest packet moves the address of an SRTP leg; the first one settles that of a learn-once leg."""
    cdef uint32_t slot = remote_slot(leg, packet.rtcp)
    if leg.source_rule == SOURCE_STRICT:
        return
    if leg.source_rule == SOURCE_LEARN_ONCE:
        if leg.latched[slot]:
            return
        leg.latched[slot] = 1
    elif not packet.newest:
        return
    if same_endpoint(&frame.remote, remote_of(leg, slot)):
        return
    set_remote(leg, slot, &frame.remote)
    counter_of(leg, packet.rtcp, COUNT_REMOTE_CHANGES)[0] += 1
    push_event(self.events, EVENT_REMOTE_CHANGED, number, packet.rtcp, packet, &frame.remote, now_ns)


cdef void count_event(relay_state *self, uint32_t number, leg_record *leg, srtp_packet *packet,
                      uint64_t now_ns) noexcept nogil:
    """Count and tell what the contexts noted about this packet."""
    if packet.event == EVENT_SOURCE_RESTARTED:
        counter_of(leg, packet.rtcp, COUNT_SOURCE_RESTARTS)[0] += 1
    elif packet.event == EVENT_SSRC_RENAMED:
        counter_of(leg, packet.rtcp, COUNT_SSRC_COLLISIONS)[0] += 1
    elif packet.event == EVENT_ROC_RECOVERED:
        counter_of(leg, packet.rtcp, COUNT_ROC_RECOVERIES)[0] += 1
    push_event(self.events, packet.event, number, packet.rtcp, packet, NULL, now_ns)
    packet.event = EVENT_NONE


cdef void arrived(relay_state *self, uint32_t number, const engine_frame *frame, srtp_packet *packet,
                  uint64_t now_ns) noexcept nogil:
    """After the tag: learn and count."""
    cdef leg_record *leg = leg_at(number)
    if packet.event != EVENT_NONE:
        count_event(self, number, leg, packet, now_ns)
    if packet.verdict == DROP_NONE and leg.source_rule == SOURCE_LEARN_ONCE:
        packet.verdict = check_source(leg, frame, packet.rtcp)  # an earlier packet of the batch may have settled it
    if packet.verdict != DROP_NONE:
        if packet.cause:
            counter_of(leg, packet.rtcp, packet.cause)[0] += 1
        return
    learn_source(self, number, leg, frame, packet, now_ns)
    if packet.rtcp:
        leg.last_rtcp_ns = now_ns
        return
    count_arrival(leg, packet.data, frame.received_ns if frame.received_ns else now_ns, now_ns)
    if packet.newest and not context_at(packet.context).flags & CONTEXT_LIBSRTP:
        leg.roc = <uint32_t>(packet.index >> 16)
        leg.has_roc = 1
    if leg.timed_out:
        leg.timed_out = 0
        push_event(self.events, EVENT_MEDIA_RESUMED, number, packet.rtcp, packet, NULL, now_ns)


cdef uint8_t name_speaker(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """A report may come before the first packet of its source: the name that the source will have is settled now. Where
    the key's past is not known no other name is safe, as SRTCP counts its indices by it."""
    cdef bint needed = context.flags & CONTEXT_FORGOT != 0
    cdef srtp_packet source
    if not needed and packet.data[1] != RTCP_SR:
        return DROP_NONE
    memset(&source, 0, sizeof(source))
    source.ssrc = load32(packet.data + 4)
    if peek_stream(context, source.ssrc) != NULL:
        return DROP_NONE
    if context.stream_count < context.stream_limit and sending_stream(context, &source) != NULL:
        packet.event = source.event
        return DROP_NONE
    return DROP_SSRC_LIMIT if needed else DROP_NONE


cdef uint8_t rename_in_rtcp(const leg_record *leg, const leg_record *peer, srtp_packet *packet) noexcept nogil:
    """Where sources go out under other SSRCs, say so in RTCP too."""
    cdef rtcp_map m
    cdef uint8_t verdict = DROP_NONE
    m.speaker = renaming(peer.send[RTP])
    m.heard = renaming(leg.send[RTP])
    if m.speaker != NULL:
        verdict = name_speaker(context_at(peer.send[RTP]), packet)
    if verdict == DROP_NONE and (m.speaker != NULL or m.heard != NULL):
        map_rtcp(&m, packet.data, packet.len)
    return verdict


cdef inline const srtp_context *renaming(uint32_t context) noexcept nogil:
    return context_at(context) if context and context_at(context).flags & CONTEXT_RENAME else NULL


cdef uint8_t depart(const leg_record *leg, engine_frame *frame, srtp_packet *packet) noexcept nogil:
    """Where the packet goes, and under which context. The frame is addressed anew."""
    cdef const leg_record *peer
    cdef const endpoint *target
    cdef uint32_t slot
    if leg.peer == 0:
        return DROP_NOT_JOINED
    peer = leg_at(leg.peer)
    if not packet.rtcp and (leg.hold or peer.target_hold):
        return DROP_HOLD
    slot = RTCP if packet.rtcp and not peer.target_mux else RTP
    target = target_of(peer, slot)
    if target.family == 0:
        return DROP_NO_REMOTE
    frame.port = leg.peer * 2 + slot
    frame.remote = target[0]
    packet.plain = leg.forward
    if leg.forward:
        # its octets are still encrypted, or nothing leaves
        return DROP_NONE if context_at(packet.context).flags & CONTEXT_VERIFY else DROP_NO_KEY
    packet.context = peer.send[packet.rtcp]
    packet.plain = packet.context == 0 and not peer.target_encrypted
    return rename_in_rtcp(leg, peer, packet) if packet.rtcp else DROP_NONE


cdef inline void note_sending(leg_record *leg, const srtp_packet *packet) noexcept nogil:
    """Under which SSRC and rollover counter media leaves; an old packet that comes late does not turn it back."""
    cdef uint32_t ssrc = rtp_ssrc(packet.data), roc = <uint32_t>(packet.index >> 16)
    if not leg.has_sent or leg.sending_ssrc != ssrc or roc > leg.sending_roc:
        leg.sending_ssrc = ssrc
        leg.sending_roc = roc
        leg.has_sent = 1


cdef int relay_batch(relay_state *self, engine_frame *frames, int count, uint64_t now_ns) noexcept nogil:
    """Relay a batch. The frames to send are self.leaving[0 .. the result)."""
    cdef srtp_packet *packet
    cdef leg_record *leg
    cdef int i, left = 0
    prefetch_batch(frames, count, now_ns + self.realtime_offset_ns)
    for i in range(count):
        self.leg[i] = frames[i].port >> 1
        admit(leg_at(self.leg[i]), &frames[i], &self.packets[i])
    unprotect_batch(self.packets, count, &self.jobs, now_ns)
    for i in range(count):
        packet = &self.packets[i]
        arrived(self, self.leg[i], &frames[i], packet, now_ns)
        if packet.verdict == DROP_NONE:
            packet.verdict = depart(leg_at(self.leg[i]), &frames[i], packet)
    protect_batch(self.packets, count, &self.jobs)
    for i in range(count):
        packet = &self.packets[i]
        leg = leg_at(self.leg[i])
        if packet.event != EVENT_NONE:
            count_event(self, self.leg[i], leg, packet, now_ns)
        if packet.verdict != DROP_NONE:
            leg.drops[packet.rtcp][packet.verdict] += 1
            continue
        frames[i].len = packet.len
        if not packet.rtcp:
            note_sending(leg_at(leg.peer), packet)
        self.leaving[left] = &frames[i]
        self.arrived_at[left] = self.leg[i]
        self.rtcp[left] = packet.rtcp
        left += 1
    return left


cdef void count_sent(relay_state *self, int count, uint64_t realtime_ns) noexcept nogil:
    """What became of the frames handed to the engine."""
    cdef const engine_frame *frame
    cdef leg_record *leg
    cdef int i
    for i in range(count):
        frame = self.leaving[i]
        if frame.outcome == ENGINE_SENT:
            leg = leg_at(frame.port >> 1)
            counter_of(leg, self.rtcp[i], COUNT_TX_PACKETS)[0] += 1
            counter_of(leg, self.rtcp[i], COUNT_TX_OCTETS)[0] += frame.len
            if frame.received_ns and realtime_ns > frame.received_ns and not self.rtcp[i]:
                count_relay_time(leg_at(self.arrived_at[i]), realtime_ns - frame.received_ns)
            continue
        leg = leg_at(self.arrived_at[i])
        if frame.outcome == ENGINE_QUEUE_FULL:
            leg.drops[self.rtcp[i]][DROP_TX_QUEUE_FULL] += 1
        elif frame.outcome == ENGINE_UNREACHABLE:
            leg.drops[self.rtcp[i]][DROP_TX_UNREACHABLE] += 1
        else:
            leg.drops[self.rtcp[i]][DROP_TX_REFUSED] += 1
