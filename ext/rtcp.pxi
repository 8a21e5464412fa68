# RTCP between legs whose SSRCs differ (RFC 3550 7: a translator that changes SSRCs changes them in RTCP as well).
# What speaks of the sender is mapped as its media was; what speaks of media heard is mapped back.

cdef enum rtcp_type:
    RTCP_SR = 200
    RTCP_RR = 201
    RTCP_SDES = 202
    RTCP_BYE = 203
    RTCP_APP = 204
    RTCP_RTPFB = 205
    RTCP_PSFB = 206
    RTCP_XR = 207

cdef enum:
    SENDER_INFO = 20        # octets of an SR between its SSRC and its report blocks
    REPORT_BLOCK = 24
    RTPFB_TMMBR = 3         # RFC 5104 4.2.1
    RTPFB_TMMBN = 4
    PSFB_FIR = 4            # RFC 5104 4.3.1
    PSFB_TSTR = 5
    PSFB_TSTN = 6
    PSFB_VBCM = 7
    XR_STATISTICS = 6       # RFC 3611 4.6
    XR_VOIP_METRICS = 7
    XR_LAST_OF_SOURCE = 3   # block types 1 to 3, too, begin with the SSRC of a source


cdef bint rtcp_well_formed(const uint8_t *p, uint32_t length) noexcept nogil:
    """The lengths of a compound packet add up (RFC 3550 A.2; RFC 5506 allows any first type)."""
    cdef uint32_t at = 0, step
    if length < RTCP_HEADER or length & 3:
        return False
    while at < length:
        if length - at < 4 or p[at] >> 6 != 2:
            return False
        step = 4 + 4 * <uint32_t>load16(p + at + 2)
        if step > length - at:
            return False
        at += step
    return True


cdef uint32_t mapped_out(const srtp_context *context, uint32_t ssrc) noexcept nogil:
    """SSRC of a source as it leaves under `context`, or left under the key before."""
    cdef uint32_t number = context.first
    while number:
        if stream_at(number).ssrc == ssrc:
            return stream_at(number).out_ssrc
        number = stream_at(number).next
    return mapped_out(context_at(context.previous), ssrc) if context.previous else ssrc


cdef uint32_t mapped_back(const srtp_context *context, uint32_t out_ssrc) noexcept nogil:
    """SSRC of a source as its own end knows it."""
    cdef uint32_t number = context.first
    while number:
        if stream_at(number).out_ssrc == out_ssrc:
            return stream_at(number).ssrc
        number = stream_at(number).next
    return mapped_back(context_at(context.previous), out_ssrc) if context.previous else out_ssrc


# Which way a field is mapped, and the contexts to look in; NULL where that side renames nothing.
cdef struct rtcp_map:
    const srtp_context *speaker
    const srtp_context *heard


cdef inline void map_speaker(const rtcp_map *m, uint8_t *field) noexcept nogil:
    if m.speaker != NULL:
        store32(field, mapped_out(m.speaker, load32(field)))


cdef inline void map_heard(const rtcp_map *m, uint8_t *field) noexcept nogil:
    if m.heard != NULL:
        store32(field, mapped_back(m.heard, load32(field)))


cdef void map_reports(const rtcp_map *m, uint8_t *p, uint32_t length, uint32_t at) noexcept nogil:
    cdef uint32_t count = p[0] & 31
    map_speaker(m, p + 4)
    while count and at + REPORT_BLOCK <= length:
        map_heard(m, p + at)
        at += REPORT_BLOCK
        count -= 1


cdef void map_sdes(const rtcp_map *m, uint8_t *p, uint32_t length) noexcept nogil:
    """Chunks: SSRC, items (type, length, text) up to a zero octet, padding to 32 bits (RFC 3550 6.5)."""
    cdef uint32_t at = 4, count = p[0] & 31
    while count and at + 4 <= length:
        map_speaker(m, p + at)
        at += 4
        while at < length and p[at]:
            at += 2 + (<uint32_t>p[at + 1] if at + 1 < length else 0)
        at = (at & ~<uint32_t>3) + 4
        count -= 1


cdef void map_bye(const rtcp_map *m, uint8_t *p, uint32_t length) noexcept nogil:
    cdef uint32_t at = 4, count = p[0] & 31
    while count and at + 4 <= length:
        map_speaker(m, p + at)
        at += 4
        count -= 1


cdef void map_feedback(const rtcp_map *m, uint8_t *p, uint32_t length) noexcept nogil:
    """RFC 4585 6.1, and the entries of RFC 5104 that name a source of their own."""
    cdef uint32_t at = 12, format = p[0] & 31
    if length < 12:
        return
    map_speaker(m, p + 4)
    map_heard(m, p + 8)
    if p[1] == RTCP_RTPFB and format in (RTPFB_TMMBR, RTPFB_TMMBN) or p[1] == RTCP_PSFB and format in (
        PSFB_FIR, PSFB_TSTR, PSFB_TSTN
    ):
        while at + 8 <= length:
            map_heard(m, p + at)
            at += 8
    elif p[1] == RTCP_PSFB and format == PSFB_VBCM and at + 8 <= length:
        map_heard(m, p + at)


cdef void map_extended(const rtcp_map *m, uint8_t *p, uint32_t length) noexcept nogil:
    """RFC 3611 3: blocks, of which types 1 to 3, 6 and 7 begin with a source's SSRC and 5 lists 12 octets for each."""
    cdef uint32_t at = 8, end, item
    map_speaker(m, p + 4)
    while at + 4 <= length:
        end = at + 4 + 4 * <uint32_t>load16(p + at + 2)
        if end > length:
            return
        if (1 <= p[at] <= XR_LAST_OF_SOURCE or p[at] in (XR_STATISTICS, XR_VOIP_METRICS)) and at + 8 <= end:
            map_heard(m, p + at + 4)
        elif p[at] == 5:
            item = at + 4
            while item + 12 <= end:
                map_heard(m, p + item)
                item += 12
        at = end


cdef void map_rtcp(const rtcp_map *m, uint8_t *p, uint32_t length) noexcept nogil:
    """Rewrite the SSRCs of a compound packet in place; stops where its lengths do not add up."""
    cdef uint32_t step
    while length >= RTCP_HEADER:
        step = 4 + 4 * <uint32_t>load16(p + 2)
        if step > length or p[0] >> 6 != 2:
            return
        if step >= RTCP_HEADER:
            if p[1] == RTCP_SR:
                map_reports(m, p, step, RTCP_HEADER + SENDER_INFO)
            elif p[1] == RTCP_RR:
                map_reports(m, p, step, RTCP_HEADER)
            elif p[1] == RTCP_SDES:
                map_sdes(m, p, step)
            elif p[1] == RTCP_BYE:
                map_bye(m, p, step)
            elif p[1] == RTCP_APP:
                map_speaker(m, p + 4)
            elif p[1] in (RTCP_RTPFB, RTCP_PSFB):
                map_feedback(m, p, step)
            elif p[1] == RTCP_XR:
                map_extended(m, p, step)
        p += step
        length -= step
