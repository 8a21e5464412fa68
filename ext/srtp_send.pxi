# Protecting. The sequence numbers are chosen by someone else, so the sender keeps a window over what it sent: no
# index is used twice under one key and SSRC, and a source that starts again goes on under an SSRC of ours.
#
# State is committed before the octets leave: a packet that is lost afterwards costs an index, never a keystream.

cdef enum:
    DUPLICATE_RUN = 8   # duplicates with nothing new between: a source starting over (a network's come beside new ones)


cdef inline int64_t guess_index(uint64_t highest, uint16_t sequence) noexcept nogil:
    """RFC 3711 3.3.1: the index nearest to the newest one. Negative before the first ROC, up to 2^48 after the last."""
    cdef int64_t roc = <int64_t>(highest >> 16)
    cdef int32_t newest = <int32_t>(highest & 0xFFFF)
    if newest < 0x8000:
        if <int32_t>sequence - newest > 0x8000:
            roc -= 1
    elif newest - 0x8000 > <int32_t>sequence:
        roc += 1
    return roc * 0x10000 + sequence


cdef void evict_oldest(srtp_context *context) noexcept nogil:
    """Forget the source used least recently. What it sent is no longer known, so no SSRC is taken over as it
    arrives from now on, and no SRTCP index up to its newest is used again."""
    cdef uint32_t number = context.first, before = 0
    while stream_at(number).next:
        before = number
        number = stream_at(number).next
    if before:
        stream_at(before).next = 0
    else:
        context.first = 0
    if context.flags & CONTEXT_RTCP:
        context.initial_index = max(context.initial_index, <uint32_t>stream_at(number).highest)
    else:
        context.flags |= CONTEXT_RENAME | CONTEXT_FORGOT
    give_stream(number)
    context.stream_count -= 1


cdef srtp_stream *sending_stream(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """The record of packet.ssrc, made where it is new; NULL when the arena is full."""
    cdef srtp_stream *stream = find_stream(context, packet.ssrc)
    cdef srtp_stream *before = NULL
    cdef int64_t out_ssrc = packet.ssrc
    cdef bint taken = False
    if stream != NULL:
        return stream
    if context.stream_count >= context.stream_limit:
        evict_oldest(context)
    if not context.flags & CONTEXT_RTCP:
        if not context.flags & CONTEXT_FORGOT:
            before = previous_stream(context, packet.ssrc)
        if before != NULL and out_ssrc_taken(context, before.out_ssrc):
            before = NULL
        taken = out_ssrc_taken(context, packet.ssrc)
        if before != NULL:
            out_ssrc = before.out_ssrc
        elif taken or context.flags & (CONTEXT_RENAME | CONTEXT_FORGOT):
            out_ssrc = fresh_ssrc(context)
    stream = add_stream(context, packet.ssrc) if out_ssrc >= 0 else NULL
    if stream == NULL:
        return NULL
    if out_ssrc != packet.ssrc:
        stream.out_ssrc = <uint32_t>out_ssrc
        context.flags |= CONTEXT_RENAME  # from now on RTCP has SSRCs to map
    if before != NULL:
        stream.highest = before.highest
        stream.estimated = before.estimated
    elif taken:
        packet.event = EVENT_SSRC_RENAMED
    return stream


cdef uint8_t restart_source(srtp_context *context, srtp_stream *stream, srtp_packet *packet) noexcept nogil:
    """Go on under a new SSRC whose indices start at ROC 0. The old one is not remembered, so it, too, is renamed
    where it comes in."""
    cdef int64_t out_ssrc = fresh_ssrc(context)
    if out_ssrc < 0:
        return DROP_SSRC_LIMIT
    stream.out_ssrc = <uint32_t>out_ssrc
    stream.started = stream.estimated = 0
    stream.highest = 0
    stream.restart_pending = stream.duplicate_run = 0
    context.flags |= CONTEXT_RENAME
    packet.event = EVENT_SOURCE_RESTARTED
    return DROP_NONE


cdef uint8_t refused_index(srtp_context *context, srtp_stream *stream, srtp_packet *packet, uint16_t sequence,
                           uint8_t verdict) noexcept nogil:
    """An index sent before or behind the window: a stray packet, or a restarted source (RFC 3550 A.1)?"""
    cdef bint confirmed
    if verdict == DROP_TOO_OLD:
        confirmed = stream.restart_pending and stream.restart_next == sequence
        stream.restart_pending = 1
        stream.restart_next = <uint16_t>(sequence + 1)
    else:
        stream.duplicate_run += 1
        confirmed = stream.duplicate_run >= DUPLICATE_RUN
    if confirmed:
        return restart_source(context, stream, packet)
    return DROP_TX_TOO_OLD if verdict == DROP_TOO_OLD else DROP_TX_DUPLICATE


cdef uint8_t choose_index(srtp_context *context, srtp_stream *stream, srtp_packet *packet,
                          uint16_t sequence) noexcept nogil:
    """packet.index for an SRTP packet, or why it must not be sent."""
    cdef int64_t index
    cdef uint8_t verdict
    if stream.estimated:
        index = guess_index(stream.highest, sequence)
        verdict = DROP_TOO_OLD if index < 0 else window_check(stream, <uint64_t>index, context.window)
        if verdict == DROP_NONE:
            stream.restart_pending = stream.duplicate_run = 0
            packet.index = <uint64_t>index
            return DROP_NONE if packet.index < SRTP_INDEX_END else DROP_TX_KEY_EXPIRED
        verdict = refused_index(context, stream, packet, sequence, verdict)
        if verdict != DROP_NONE:
            return verdict
        packet.index = sequence
        return DROP_NONE
    packet.index = (<uint64_t>context.initial_roc << 16) | sequence
    return DROP_NONE


cdef uint8_t choose_key(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """The sending key: the first whose lifetime is not used up, from the active one on."""
    while context.key[context.active].left == 0:
        if context.active + 1 >= context.key_count:
            if not context.expiry_told:
                packet.event = EVENT_KEY_EXPIRED
                context.expiry_told = 1
            return DROP_TX_KEY_EXPIRED
        context.active += 1
    packet.slot = context.active
    return DROP_NONE if key_at(context.key[context.active].number).live else DROP_NO_KEY


cdef void spend_keys(srtp_context *context) noexcept nogil:
    """An index reached its end. A change of key does not start it again (RFC 3711 3.3.1, 3.4): all keys are spent."""
    cdef int i
    for i in range(CONTEXT_KEYS):
        context.key[i].left = 0
    context.active = context.key_count - 1


cdef uint8_t protect_rtp(srtp_context *context, srtp_packet *packet, srtp_job *job) noexcept nogil:
    """Commit an index for an RTP packet, extend it and fill its job."""
    cdef uint32_t header = rtp_header_length(packet.data, packet.len)
    cdef uint32_t trailer = trailer_length(context, False)
    cdef srtp_stream *stream
    cdef const srtp_key *key
    cdef uint8_t verdict
    if header == 0:
        return DROP_TOO_SHORT if packet.len < RTP_HEADER else DROP_MALFORMED
    if packet.len + trailer + SRTP_TAIL_ROOM > packet.room:
        return DROP_TOO_LONG
    verdict = choose_key(context, packet)
    if verdict != DROP_NONE:
        return verdict
    packet.ssrc = rtp_ssrc(packet.data)
    stream = sending_stream(context, packet)
    if stream == NULL:
        return DROP_SSRC_LIMIT
    verdict = choose_index(context, stream, packet, rtp_sequence(packet.data))
    if verdict == DROP_TX_KEY_EXPIRED:
        spend_keys(context)
    if verdict != DROP_NONE:
        return verdict
    window_take(stream, packet.index)
    context.key[packet.slot].left -= 1
    packet.out_ssrc = stream.out_ssrc
    store32(packet.data + 8, packet.out_ssrc)
    key = key_at(context.key[packet.slot].number)
    job_rtp(context, key, job, packet.data, header, packet.len, packet.index, packet.out_ssrc)
    if context.cipher == SRTP_CIPHER_CM:
        memcpy(packet.data + packet.len, key.mki, key.mki_len)
        job.tag = packet.data + packet.len + key.mki_len
    else:
        job.tag = packet.data + packet.len
        memcpy(job.tag + SRTP_GCM_TAG_LEN, key.mki, key.mki_len)
    packet.len += trailer
    return DROP_NONE


cdef uint8_t protect_rtcp(srtp_context *context, srtp_packet *packet, srtp_job *job) noexcept nogil:
    """Commit an SRTCP index (RFC 3711 3.4), extend the packet and fill its job."""
    cdef uint32_t trailer = <uint32_t>context.tag_len + context.mki_len + 4
    cdef uint32_t word, end = packet.len
    cdef srtp_stream *stream
    cdef const srtp_key *key
    cdef uint8_t verdict
    if packet.len < RTCP_HEADER:
        return DROP_TOO_SHORT
    if packet.data[0] >> 6 != 2:
        return DROP_MALFORMED
    if packet.len + trailer + SRTP_TAIL_ROOM > packet.room:
        return DROP_TOO_LONG
    verdict = choose_key(context, packet)
    if verdict != DROP_NONE:
        return verdict
    packet.ssrc = packet.out_ssrc = load32(packet.data + 4)
    stream = sending_stream(context, packet)
    if stream == NULL:
        return DROP_SSRC_LIMIT
    if not stream.estimated:
        stream.highest = context.initial_index
        stream.estimated = 1
    if stream.highest >= SRTCP_INDEX_END:
        spend_keys(context)
        return DROP_TX_KEY_EXPIRED
    packet.index = stream.highest
    stream.highest += 1
    context.key[packet.slot].left -= 1
    word = <uint32_t>packet.index
    if context.flags & CONTEXT_ENCRYPT:
        word |= SRTCP_E_BIT
    key = key_at(context.key[packet.slot].number)
    job_rtcp(context, key, job, packet.data, end, word, packet.ssrc)
    if context.cipher == SRTP_CIPHER_CM:
        store32(packet.data + end, word)
        memcpy(packet.data + end + 4, key.mki, key.mki_len)
        job.tag = packet.data + end + 4 + key.mki_len
    else:
        job.tag = packet.data + end
        store32(job.tag + SRTP_GCM_TAG_LEN, word)
        memcpy(job.tag + SRTP_GCM_TAG_LEN + 4, key.mki, key.mki_len)
    packet.len += trailer
    return DROP_NONE


cdef void protect_batch(srtp_packet *packets, uint32_t count, job_batch *batch) noexcept nogil:
    """Protect in place every packet whose verdict is DROP_NONE and that is not to stay plain. At most 64."""
    cdef uint32_t i
    cdef srtp_packet *packet
    cdef srtp_context *context
    batch_start(batch)
    for i in range(count):
        packet = &packets[i]
        if packet.verdict != DROP_NONE or packet.plain:
            continue
        context = context_at(packet.context)
        if not context.live:
            packet.verdict = DROP_NO_KEY
        elif context.flags & CONTEXT_FOREIGN:
            packet.verdict = DROP_FOREIGN_KEY
        elif context.flags & CONTEXT_LIBSRTP:
            packet.verdict = provider_protect(packet)
        elif packet.rtcp:
            packet.verdict = protect_rtcp(context, packet, &batch.jobs[i])
        else:
            packet.verdict = protect_rtp(context, packet, &batch.jobs[i])
        if packet.verdict == DROP_NONE and not context.flags & CONTEXT_LIBSRTP:
            batch_add(batch, &batch.jobs[i], context.cipher)
    if batch.cm_count:
        KERNELS.protect_cm(batch.cm, batch.cm_count)
    if batch.gcm_count:
        KERNELS.protect_gcm(batch.gcm, batch.gcm_count)
