# Unprotecting: length, key, index estimate, replay window, tag, and only then state (RFC 3711 3.3).
#
# A batch is estimated with the state as it stood before, sent through the kernel at once, and taken packet by packet
# in order of arrival. Where an earlier packet of the batch moved the state so that a later one's estimate would be
# another, that one is done again alone. So a batch gives what single calls give.

cdef inline uint8_t locate_rtp(const srtp_context *context, const srtp_packet *packet, uint32_t *header) noexcept nogil:
    """Where the payload of an SRTP packet begins."""
    cdef uint32_t trailer = trailer_length(context, False)
    if packet.len < RTP_HEADER + trailer:
        return DROP_TOO_SHORT
    header[0] = rtp_header_length(packet.data, packet.len - trailer)
    return DROP_NONE if header[0] else DROP_MALFORMED


cdef inline void open_rtp(const srtp_context *context, const srtp_packet *packet, uint32_t header, uint64_t index,
                          srtp_job *job) noexcept nogil:
    """Fill the job of an SRTP packet under packet.slot's key and `index`."""
    cdef uint32_t trailer = trailer_length(context, False)
    cdef const srtp_key *key = key_at(context.key[packet.slot].number)
    job_rtp(context, key, job, packet.data, header, packet.len - trailer, index, packet.ssrc)
    job.tag = packet.data + packet.len - (trailer if context.cipher == SRTP_CIPHER_GCM else context.tag_len)


cdef uint8_t locate_rtcp(srtp_context *context, srtp_packet *packet, srtp_job *job) noexcept nogil:
    """Fill the job of an SRTCP packet; its index is in the packet (RFC 3711 3.4, RFC 7714 9.2)."""
    cdef uint32_t trailer = <uint32_t>context.tag_len + context.mki_len + 4
    cdef uint32_t end, word, at
    if packet.len < RTCP_HEADER + trailer:
        return DROP_TOO_SHORT
    if packet.data[0] >> 6 != 2:
        return DROP_MALFORMED
    end = packet.len - trailer
    at = end if context.cipher == SRTP_CIPHER_CM else end + SRTP_GCM_TAG_LEN
    word = load32(packet.data + at)
    if context.flags & CONTEXT_ENCRYPT and not word & SRTCP_E_BIT:
        return DROP_SRTCP_IN_CLEAR
    packet.index = word & (SRTCP_E_BIT - 1)
    job_rtcp(context, key_at(context.key[packet.slot].number), job, packet.data, end, word, packet.ssrc)
    job.tag = packet.data + (end if context.cipher == SRTP_CIPHER_GCM else packet.len - context.tag_len)
    return DROP_NONE


cdef uint8_t select_key(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """packet.slot by the packet's master key identifier (RFC 3711 3.1: before the tag; behind it for GCM)."""
    cdef const uint8_t *mki
    cdef const srtp_key *key
    cdef uint32_t behind, i
    packet.slot = 0
    if context.mki_len:
        behind = context.mki_len + (context.tag_len if context.cipher == SRTP_CIPHER_CM else 0)
        if packet.len < behind:
            return DROP_TOO_SHORT
        mki = packet.data + packet.len - behind
        for i in range(<uint32_t>context.key_count):
            if memcmp(key_at(context.key[i].number).mki, mki, context.mki_len) == 0:
                break
        else:
            return DROP_UNKNOWN_MKI
        packet.slot = <uint8_t>i
    if context.key[packet.slot].left == 0:
        return DROP_RECEIVE_KEY_EXPIRED
    key = key_at(context.key[packet.slot].number)
    return DROP_NONE if key.live else DROP_NO_KEY


cdef int64_t estimate(srtp_context *context, srtp_stream *stream, srtp_packet *packet) noexcept nogil:
    """The index that the state gives for an SRTP packet; up to 2^48 where the rollover counter would pass its end."""
    cdef uint16_t sequence = rtp_sequence(packet.data)
    cdef srtp_stream *before
    cdef int64_t index
    if stream == NULL or not stream.estimated:
        before = previous_stream(context, packet.ssrc)
        if before == NULL or not before.estimated:
            return (<int64_t>context.initial_roc << 16) | sequence
        stream = before
    index = guess_index(stream.highest, sequence)
    return index if index >= 0 else sequence


cdef uint8_t check_index(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """Set packet.index by the present state and hold it against the replay window."""
    cdef srtp_stream *stream = peek_stream(context, packet.ssrc)
    cdef int64_t index
    if not packet.rtcp:
        index = estimate(context, stream, packet)
        if <uint64_t>index >= SRTP_INDEX_END:
            return DROP_RECEIVE_KEY_EXPIRED
        packet.index = <uint64_t>index
    return DROP_NONE if stream == NULL else window_check(stream, packet.index, context.window)


cdef uint8_t examine(srtp_context *context, srtp_packet *packet, srtp_job *job) noexcept nogil:
    """Everything before the tag. Fills the job where the verdict is DROP_NONE."""
    cdef uint32_t header = 0
    cdef uint8_t verdict
    if packet.len < (<uint32_t>RTCP_HEADER if packet.rtcp else <uint32_t>RTP_HEADER):
        return DROP_TOO_SHORT
    verdict = select_key(context, packet)
    if verdict != DROP_NONE:
        return verdict
    packet.ssrc = load32(packet.data + 4) if packet.rtcp else rtp_ssrc(packet.data)
    verdict = locate_rtcp(context, packet, job) if packet.rtcp else locate_rtp(context, packet, &header)
    if verdict == DROP_NONE:
        verdict = check_index(context, packet)
    if verdict == DROP_NONE and not packet.rtcp:
        open_rtp(context, packet, header, packet.index, job)
    return verdict


cdef inline void open_one(uint8_t cipher, srtp_job *job) noexcept nogil:
    if cipher == SRTP_CIPHER_CM:
        KERNELS.unprotect_cm(&job, 1)
    else:
        KERNELS.unprotect_gcm(&job, 1)


cdef inline void close_one(uint8_t cipher, srtp_job *job) noexcept nogil:
    if cipher == SRTP_CIPHER_CM:
        KERNELS.protect_cm(&job, 1)
    else:
        KERNELS.protect_gcm(&job, 1)


cdef uint8_t accept(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """The tag was right: now, and only now, state moves."""
    cdef srtp_stream *stream = find_stream(context, packet.ssrc)
    if stream == NULL:
        stream = add_stream(context, packet.ssrc)
        if stream == NULL:
            return DROP_SSRC_LIMIT
    packet.newest = not stream.started or packet.index > stream.highest
    window_take(stream, packet.index)
    context.key[packet.slot].left -= 1
    if context.flags & CONTEXT_SEARCHING:
        forget_search(context, packet.ssrc)
    packet.out_ssrc = packet.ssrc
    packet.len -= 0 if context.flags & CONTEXT_VERIFY else trailer_length(context, packet.rtcp)
    return DROP_NONE


cdef inline uint32_t trailer_length(const srtp_context *context, bint rtcp) noexcept nogil:
    return <uint32_t>context.tag_len + context.mki_len + (4 if rtcp else 0)


cdef bint opens_at(srtp_context *context, srtp_packet *packet, uint64_t index, bint verify_only) noexcept nogil:
    """Trial authentication of an SRTP packet under another index. The octets change only where it is good and
    verify_only is not set."""
    cdef srtp_job job
    cdef uint32_t header = 0
    if locate_rtp(context, packet, &header) != DROP_NONE:
        return False
    open_rtp(context, packet, header, index, &job)
    job.verify_only = job.verify_only or verify_only
    open_one(context.cipher, &job)
    return job.good != 0


cdef uint8_t unprotect_alone(srtp_context *context, srtp_packet *packet, uint64_t now_ns) noexcept nogil:
    cdef srtp_job job
    packet.verdict = examine(context, packet, &job)
    if packet.verdict == DROP_TOO_OLD:
        return behind(context, packet, now_ns)
    if packet.verdict != DROP_NONE:
        return packet.verdict
    open_one(context.cipher, &job)
    return accept(context, packet) if job.good else failed(context, packet, now_ns)


cdef uint8_t settle(srtp_context *context, srtp_packet *packet, srtp_job *job, uint64_t now_ns) noexcept nogil:
    """Take the kernel's answer in order of arrival, by the state as it is now."""
    cdef uint64_t estimated = packet.index
    cdef uint8_t verdict
    if packet.verdict not in (DROP_NONE, DROP_REPLAY, DROP_TOO_OLD):
        return packet.verdict
    if context.key[packet.slot].left == 0:
        return DROP_RECEIVE_KEY_EXPIRED
    verdict = check_index(context, packet)
    if packet.index != estimated or (packet.verdict != DROP_NONE and verdict == DROP_NONE):
        # decrypted under an index that a single call would not have tried: encrypting once more restores the octets
        if packet.verdict == DROP_NONE and job.good and not job.verify_only:
            close_one(context.cipher, job)
        return unprotect_alone(context, packet, now_ns)
    if verdict == DROP_TOO_OLD:
        return behind(context, packet, now_ns)
    if verdict != DROP_NONE:
        return verdict
    return accept(context, packet) if job.good else failed(context, packet, now_ns)


cdef void unprotect_batch(srtp_packet *packets, uint32_t count, job_batch *batch, uint64_t now_ns) noexcept nogil:
    """Unprotect in place every packet whose verdict is DROP_NONE and that is not plain. At most 64."""
    cdef uint32_t i
    cdef srtp_packet *packet
    cdef srtp_context *context
    batch_start(batch)
    for i in range(count):
        packet = &packets[i]
        packet.job = 0
        if packet.verdict != DROP_NONE or packet.plain:
            continue
        context = context_at(packet.context)
        if not context.live:
            packet.verdict = DROP_NO_KEY
        elif context.flags & CONTEXT_LIBSRTP:
            # libsrtp cannot authenticate and leave the octets: rather nothing than the clear text
            packet.verdict = DROP_PROVIDER if context.flags & CONTEXT_VERIFY else provider_unprotect(packet)
        else:
            packet.job = 1
            packet.verdict = examine(context, packet, &batch.jobs[i])
            if packet.verdict == DROP_NONE:
                batch_add(batch, &batch.jobs[i], context.cipher)
    if batch.cm_count:
        KERNELS.unprotect_cm(batch.cm, batch.cm_count)
    if batch.gcm_count:
        KERNELS.unprotect_gcm(batch.gcm, batch.gcm_count)
    for i in range(count):
        if packets[i].job:
            packets[i].verdict = settle(context_at(packets[i].context), &packets[i], &batch.jobs[i], now_ns)
