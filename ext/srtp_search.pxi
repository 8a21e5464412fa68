# After a wrong tag: is the packet authentic under another rollover counter, or under the key before this one? Trials
# cost as much as a forged packet may make us spend, so they come from a small bucket (search_allowed).

cdef enum:
    SEARCH_AFTER = 3        # failures of a source before its rollover counter is searched
    SEARCH_ROCS = 4         # 0 to 3, then the hints
    SEARCH_REACH = 64       # how far behind the pending packet its confirmation may be

cdef extern from *:
    """
    #define SEARCH_PATIENCE_NS UINT64_C(2000000000) /* for the confirmation; then the search starts over */
    #define TOLD_EVERY_NS UINT64_C(1000000000)      /* events that forged packets can cause, per context */
    """
    uint64_t SEARCH_PATIENCE_NS
    uint64_t TOLD_EVERY_NS


cdef srtp_search *search_slot(srtp_context *context, uint32_t ssrc) noexcept nogil:
    """The source's slot; where it has none, that of the source with the fewest failures."""
    cdef srtp_search *least = &context.search[0]
    cdef int i
    for i in range(SEARCH_SLOTS):
        if context.search[i].failures and context.search[i].ssrc == ssrc:
            return &context.search[i]
        # one that was found authentic once is not pushed out by those that never were
        if context.search[i].pending < least.pending or (
            context.search[i].pending == least.pending and context.search[i].failures < least.failures
        ):
            least = &context.search[i]
    memset(least, 0, sizeof(srtp_search))
    least.ssrc = ssrc
    context.flags |= CONTEXT_SEARCHING
    return least


cdef void forget_search(srtp_context *context, uint32_t ssrc) noexcept nogil:
    cdef bint others = False
    cdef int i
    for i in range(SEARCH_SLOTS):
        if context.search[i].failures and context.search[i].ssrc == ssrc:
            memset(&context.search[i], 0, sizeof(srtp_search))
        others = others or context.search[i].failures
    if not others:
        context.flags &= ~CONTEXT_SEARCHING


cdef uint8_t confirm_search(srtp_context *context, srtp_packet *packet, srtp_search *slot,
                            uint64_t now_ns) noexcept nogil:
    """Second good packet in a row under the same rollover counter: take both. Until it comes nothing else is tried for
    the source, so that forged packets cannot use up the trials."""
    cdef uint64_t first = (<uint64_t>slot.roc << 16) | slot.sequence
    cdef uint16_t ahead = <uint16_t>(rtp_sequence(packet.data) - slot.sequence)
    cdef uint64_t index = first + ahead
    cdef srtp_stream *stream
    if not 0 < ahead <= SEARCH_REACH or index >= SRTP_INDEX_END or not search_allowed(context, 0, now_ns):
        return DROP_AUTH_FAILED
    if not opens_at(context, packet, index, False):
        return DROP_AUTH_FAILED
    stream = find_stream(context, packet.ssrc)
    if stream == NULL:
        stream = add_stream(context, packet.ssrc)
        if stream == NULL:
            return DROP_SSRC_LIMIT
    window_take(stream, first)
    packet.index = index
    packet.event = EVENT_ROC_RECOVERED
    return accept(context, packet)


cdef bint worth_trying(srtp_context *context, const srtp_packet *packet, uint64_t index) noexcept nogil:
    """Not what the estimate was, and not back behind what was received: that would let recorded packets in again."""
    cdef srtp_stream *stream = peek_stream(context, packet.ssrc)
    return index != packet.index and (stream == NULL or not stream.started or index > stream.highest)


cdef uint8_t search_rocs(srtp_context *context, srtp_packet *packet, srtp_search *slot, uint64_t now_ns) noexcept nogil:
    """ROC 0 to 3 and the hints, as far as there are trials; goes on where the last failure stopped."""
    cdef uint32_t count = <uint32_t>SEARCH_ROCS + context.hint_count, roc, i
    cdef uint64_t index
    for i in range(count):
        roc = slot.next if slot.next < SEARCH_ROCS else context.hints[slot.next - SEARCH_ROCS]
        index = (<uint64_t>roc << 16) | rtp_sequence(packet.data)
        if worth_trying(context, packet, index):
            if not search_allowed(context, 1, now_ns):
                return DROP_AUTH_FAILED
            if opens_at(context, packet, index, True):
                slot.roc = roc
                slot.sequence = rtp_sequence(packet.data)
                slot.pending = 1
                slot.pending_ns = now_ns
                return DROP_ROC_UNKNOWN
        slot.next = <uint8_t>((slot.next + 1) % count)
        if slot.next == 0 and not slot.reported and now_ns >= context.told_ns:
            slot.reported = 1
            context.told_ns = now_ns + TOLD_EVERY_NS
            packet.event = EVENT_ROC_UNKNOWN
    return DROP_AUTH_FAILED


cdef uint8_t search(srtp_context *context, srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    """Look for the rollover counter after SEARCH_AFTER failures of the source; committed at the second good packet."""
    cdef srtp_search *slot = search_slot(context, packet.ssrc)
    if slot.failures < 255:
        slot.failures += 1
    if slot.pending and now_ns - slot.pending_ns > SEARCH_PATIENCE_NS:
        slot.pending = 0
    if slot.pending:
        return confirm_search(context, packet, slot, now_ns)
    if slot.failures <= SEARCH_AFTER:
        return DROP_AUTH_FAILED
    return search_rocs(context, packet, slot, now_ns)


cdef uint8_t behind(srtp_context *context, srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    """An index behind the window: an old packet, or a source that jumped by more than the 2^15 that the estimate
    reaches. The second is found as a lost rollover counter is."""
    cdef uint8_t verdict
    if packet.rtcp:
        return DROP_TOO_OLD
    verdict = search(context, packet, now_ns)
    return DROP_TOO_OLD if verdict == DROP_AUTH_FAILED else verdict


cdef uint8_t diagnose(srtp_context *context, srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    """A counter for the likely cause of a wrong tag: previous key, or rollover counter one off. 0 for neither.
    One failure a second is examined."""
    cdef uint64_t index = packet.index
    cdef srtp_packet trial = packet[0]
    if packet.rtcp or now_ns < context.examine_at_ns:
        return 0
    context.examine_at_ns = now_ns + 1000000000
    if context.previous:
        if select_key(context_at(context.previous), &trial) == DROP_NONE:
            if opens_at(context_at(context.previous), &trial, index, True):
                return COUNT_AUTH_PREVIOUS_KEY
    if index + 0x10000 < SRTP_INDEX_END and opens_at(context, packet, index + 0x10000, True):
        return COUNT_AUTH_OTHER_ROC
    if index >= 0x10000 and opens_at(context, packet, index - 0x10000, True):
        return COUNT_AUTH_OTHER_ROC
    return 0


cdef uint8_t under_previous_key(srtp_context *context, srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    """Packets on their way while the key changed are still good, until the overlap ends."""
    cdef srtp_packet trial = packet[0]
    cdef srtp_context *before = context_at(context.previous)
    cdef srtp_job job
    if now_ns >= context.overlap_until_ns:
        return DROP_AUTH_FAILED
    set_verify(before, context.flags & CONTEXT_VERIFY != 0)
    if examine(before, &trial, &job) != DROP_NONE:
        return DROP_AUTH_FAILED
    open_one(before.cipher, &job)
    if not job.good or accept(before, &trial) != DROP_NONE:
        return DROP_AUTH_FAILED
    trial.newest = 0
    packet[0] = trial
    return DROP_NONE


cdef uint8_t failed(srtp_context *context, srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    """The tag is wrong under the estimate. What else, in order, before it counts as a failure."""
    cdef srtp_stream *stream
    cdef uint64_t zero
    cdef uint8_t verdict
    if context.previous:
        if not packet.rtcp:
            stream = peek_stream(context, packet.ssrc)
            zero = rtp_sequence(packet.data)
            # after a re-key senders keep the rollover counter (RFC 3711 3.3.1) or start over (RFC 4568 7.1.4)
            if (stream == NULL or not stream.started) and zero != packet.index:
                if opens_at(context, packet, zero, False):
                    packet.index = zero
                    return accept(context, packet)
        if under_previous_key(context, packet, now_ns) == DROP_NONE:
            return DROP_NONE
    if packet.rtcp:
        return DROP_AUTH_FAILED
    verdict = search(context, packet, now_ns)
    if verdict == DROP_AUTH_FAILED:
        packet.cause = diagnose(context, packet, now_ns)
    return verdict
