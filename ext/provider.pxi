# The second provider: the libsrtp inside the pylibsrtp wheel, by the addresses of its functions. It keeps its own
# rollover counters and windows; its session is found by the number of our context.

ctypedef int (*provider_call)(void *session, void *packet, int *length) noexcept nogil
ctypedef int (*provider_protect_mki)(void *session, void *packet, int *length, unsigned use,
                                     unsigned which) noexcept nogil
ctypedef int (*provider_unprotect_mki)(void *session, void *packet, int *length, unsigned use) noexcept nogil

cdef struct provider_functions:
    provider_call protect[2]             # RTP, RTCP
    provider_call unprotect[2]
    provider_protect_mki protect_mki[2]
    provider_unprotect_mki unprotect_mki[2]

cdef provider_functions PROVIDER

cdef enum:
    LIBSRTP_AUTH_FAIL = 7
    LIBSRTP_REPLAY_FAIL = 9
    LIBSRTP_REPLAY_OLD = 10
    LIBSRTP_KEY_EXPIRED = 15
    LIBSRTP_BAD_MKI = 25
    LIBSRTP_INDEX_OLD = 26
    LIBSRTP_OVERHEAD = 16 + 4 + SRTP_MKI_MAX


def use_provider(dict functions not None):
    """Take the addresses of libsrtp's functions: srtp_protect, srtp_unprotect, their _rtcp and _mki forms."""
    def at(name):
        return functions[name]
    cdef size_t address
    for i, suffix in enumerate(("", "_rtcp")):
        address = at(f"srtp_protect{suffix}")
        PROVIDER.protect[i] = <provider_call>address
        address = at(f"srtp_unprotect{suffix}")
        PROVIDER.unprotect[i] = <provider_call>address
        address = at(f"srtp_protect{suffix}_mki")
        PROVIDER.protect_mki[i] = <provider_protect_mki>address
        address = at(f"srtp_unprotect{suffix}_mki")
        PROVIDER.unprotect_mki[i] = <provider_unprotect_mki>address


cdef inline uint8_t provider_verdict(int status, bint sending) noexcept nogil:
    if status == 0:
        return DROP_NONE
    if status == LIBSRTP_AUTH_FAIL:
        return DROP_AUTH_FAILED
    if status == LIBSRTP_REPLAY_FAIL:
        return DROP_TX_DUPLICATE if sending else DROP_REPLAY
    if status in (LIBSRTP_REPLAY_OLD, LIBSRTP_INDEX_OLD):
        return DROP_TX_TOO_OLD if sending else DROP_TOO_OLD
    if status == LIBSRTP_KEY_EXPIRED:
        return DROP_TX_KEY_EXPIRED if sending else DROP_RECEIVE_KEY_EXPIRED
    return DROP_UNKNOWN_MKI if status == LIBSRTP_BAD_MKI else DROP_PROVIDER


cdef uint8_t provider_protect(srtp_packet *packet) noexcept nogil:
    cdef srtp_context *context = context_at(packet.context)
    cdef void *session = STATE.provider[packet.context]
    cdef int length = <int>packet.len
    cdef int status
    if packet.len < (<uint32_t>RTCP_HEADER if packet.rtcp else <uint32_t>RTP_HEADER):
        return DROP_TOO_SHORT
    if not packet.rtcp and rtp_header_length(packet.data, packet.len) == 0:
        return DROP_MALFORMED
    if packet.len + LIBSRTP_OVERHEAD > packet.room:
        return DROP_TOO_LONG
    packet.ssrc = packet.out_ssrc = load32(packet.data + (4 if packet.rtcp else 8))
    if context.mki_len:
        status = PROVIDER.protect_mki[packet.rtcp](session, packet.data, &length, 1, context.active)
    else:
        status = PROVIDER.protect[packet.rtcp](session, packet.data, &length)
    packet.len = <uint32_t>length
    return provider_verdict(status, True)


cdef bint provider_newest(srtp_context *context, srtp_packet *packet) noexcept nogil:
    """Is this packet the newest of its source? libsrtp does not tell its index: sequence numbers are followed here."""
    cdef srtp_stream *stream = find_stream(context, packet.ssrc)
    cdef int64_t index
    if stream == NULL:
        stream = add_stream(context, packet.ssrc)
        if stream == NULL:
            return False
    index = estimate(context, stream, packet)
    if stream.estimated and <uint64_t>index <= stream.highest:
        return False
    stream.highest = <uint64_t>index
    stream.estimated = 1
    return True


cdef inline bint provider_e_bit(const srtp_context *context, const srtp_packet *packet) noexcept nogil:
    """Whether an SRTCP packet says that it is encrypted: libsrtp does not ask for GCM."""
    cdef uint32_t behind = 4 + context.mki_len + (0 if context.cipher == SRTP_CIPHER_GCM else context.tag_len)
    return load32(packet.data + packet.len - behind) & SRTCP_E_BIT != 0


cdef uint8_t provider_unprotect(srtp_packet *packet) noexcept nogil:
    cdef srtp_context *context = context_at(packet.context)
    cdef void *session = STATE.provider[packet.context]
    cdef int length = <int>packet.len
    cdef int status
    cdef uint32_t trailer = trailer_length(context, packet.rtcp)
    if packet.len < (<uint32_t>RTCP_HEADER if packet.rtcp else <uint32_t>RTP_HEADER) + trailer:
        return DROP_TOO_SHORT
    if not packet.rtcp and rtp_header_length(packet.data, packet.len - trailer) == 0:
        return DROP_MALFORMED
    packet.ssrc = packet.out_ssrc = load32(packet.data + (4 if packet.rtcp else 8))
    if packet.rtcp and context.flags & CONTEXT_ENCRYPT and not provider_e_bit(context, packet):
        return DROP_SRTCP_IN_CLEAR
    if context.mki_len:
        status = PROVIDER.unprotect_mki[packet.rtcp](session, packet.data, &length, 1)
    else:
        status = PROVIDER.unprotect[packet.rtcp](session, packet.data, &length)
    if status == 0:
        packet.len = <uint32_t>length
        packet.newest = not packet.rtcp and provider_newest(context, packet)
    return provider_verdict(status, False)
