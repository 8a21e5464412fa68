# What the generator's packets hold, and what is done to them on purpose. Everything follows from (seed, SSRC, number of
# the packet), so the sink knows every octet of a packet that it has never seen.
#
#    | RTP header, 12 | hash of (seed, SSRC, number), 8 | octets of a page made from the seed, from a place |
#                     ^ payload                         | that the hash names                               |
#
# A sender report (RFC 3550 6.4.1) with the one item that RFC 3550 6.5.1 demands:
#
#    | SR: header, SSRC, NTP time, RTP time, packets, octets: 28 | SDES: header, SSRC, CNAME "load-" and SSRC: 24 |

cdef enum:
    LOAD_PAGE = 1 << 16             # octets; the hash's upper 16 bits name a place
    LOAD_MARK = 8                   # octets of hash that a payload begins with
    LOAD_REPORT = 52
    LOAD_REPORT_SR = 28
    LOAD_CNAME = 13
    LOAD_CLEAR_SIGHT = 16           # octets by which clear content is recognised
    NTP_UNIX = 2208988800           # seconds from 1900 to 1970

cdef enum:
    FATE_LOST = 1
    FATE_TWICE = 2
    FATE_LATE = 4
    FATE_FORGED = 8
    FORGE_PAYLOAD = 0               # one bit of a payload octet
    FORGE_SEQUENCE = 1              # a number far from what the gateway expects
    FORGE_SSRC = 2                  # a source that does not exist
    FORGERIES = 3
    FORGE_SEQUENCE_BIT = 0x4000
    FORGE_SSRC_BITS = 0x5A5A5A5A

# What is done to packets on purpose: thresholds in 1/2^32 of the packets.
cdef struct load_impairments:
    uint64_t lost
    uint64_t twice
    uint64_t late
    uint64_t forged
    uint32_t depth                  # intervals that a late one is late, and a half
    int32_t stranger                # socket that forgeries of plain streams leave from, or -1
    uint8_t any


cdef inline uint64_t load_hash(uint64_t seed, uint32_t ssrc, uint64_t number) noexcept nogil:
    return mix64(mix64(seed + ssrc * <uint64_t>0xD1342543DE82EF95) + number * <uint64_t>0x9E3779B97F4A7C15)


cdef uint8_t load_fate(const load_impairments *asked, uint64_t seed, uint32_t ssrc, uint64_t number) noexcept nogil:
    """What happens to a packet on purpose. A lost one is nothing else."""
    cdef uint64_t one, two
    cdef uint8_t fate = 0
    if not asked.any:
        return 0
    one = load_hash(seed ^ 0x6C6F7373, ssrc, number)
    two = mix64(one + 1)
    if one >> 32 < asked.lost:
        return FATE_LOST
    if <uint32_t>one < asked.twice:
        fate |= FATE_TWICE
    if two >> 32 < asked.late:
        fate |= FATE_LATE
    if <uint32_t>two < asked.forged:
        fate |= FATE_FORGED
    return fate


cdef inline uint64_t load_forgery(uint64_t seed, uint32_t ssrc, uint64_t number) noexcept nogil:
    """How a copy is damaged: its kind is the remainder by FORGERIES, the rest names a payload octet and a bit."""
    return load_hash(seed ^ 0x666F7267, ssrc, number)


cdef inline uint64_t load_delay(const load_impairments *asked, uint64_t interval_ns) noexcept nogil:
    """Nanoseconds that a late packet is sent late: between two of its successors."""
    return asked.depth * interval_ns + interval_ns // 2


cdef void load_fill_page(uint8_t *page, uint64_t seed) noexcept nogil:
    cdef uint64_t i, word
    for i in range(<uint64_t>(LOAD_PAGE + LOAD_PAYLOAD_MAX + 7) // 8):
        word = mix64(seed + i * <uint64_t>0x9E3779B97F4A7C15)
        memcpy(page + 8 * i, &word, 8)


cdef void load_fill_media(const load_stream *stream, uint64_t seed, const uint8_t *page, uint64_t n,
                          uint8_t *data) noexcept nogil:
    """RTP packet `n` of this run, without protection: 12 + payload_octets."""
    cdef uint64_t number = stream.done[RTP] + n
    cdef uint64_t mark = load_hash(seed, stream.ssrc, number)
    load_header(stream, number, stream.ssrc, data)
    memcpy(data + RTP_HEADER, &mark, min(<int>stream.payload_octets, LOAD_MARK))
    if stream.payload_octets > LOAD_MARK:
        memcpy(data + RTP_HEADER + LOAD_MARK, page + (mark >> 48), stream.payload_octets - LOAD_MARK)


cdef inline void load_header(const load_stream *stream, uint64_t number, uint32_t ssrc, uint8_t *data) noexcept nogil:
    cdef uint32_t sequence = <uint32_t>(stream.first_sequence + number) & 0xFFFF
    store32(data, <uint32_t>0x80 << 24 | <uint32_t>stream.payload_type << 16 | sequence)
    store32(data + 4, <uint32_t>(stream.first_timestamp + number * stream.timestamp_step))
    store32(data + 8, ssrc)


cdef bint load_same_media(const load_stream *stream, uint64_t seed, const uint8_t *page, uint64_t n,
                          const uint8_t *data) noexcept nogil:
    """Is it, after decryption, the packet that was sent? The length was compared before."""
    cdef uint8_t[RTP_HEADER] header
    load_header(stream, stream.done[RTP] + n, stream.out_ssrc, header)
    if memcmp(data, header, RTP_HEADER) != 0:
        return False
    return load_same_payload(stream, seed, page, n, data, stream.payload_octets)


cdef bint load_same_payload(const load_stream *stream, uint64_t seed, const uint8_t *page, uint64_t n,
                            const uint8_t *data, uint32_t octets) noexcept nogil:
    """The first `octets` of the payload."""
    cdef uint64_t mark = load_hash(seed, stream.ssrc, stream.done[RTP] + n)
    if memcmp(data + RTP_HEADER, &mark, min(octets, <uint32_t>LOAD_MARK)) != 0:
        return False
    return octets <= LOAD_MARK or memcmp(data + RTP_HEADER + LOAD_MARK, page + (mark >> 48), octets - LOAD_MARK) == 0


cdef void load_fill_cname(uint32_t ssrc, uint32_t out_ssrc, uint8_t *data) noexcept nogil:
    """The SDES packet of a report: 24 octets."""
    cdef const char *digits = b"0123456789abcdef"
    cdef int i
    store32(data, <uint32_t>0x81 << 24 | <uint32_t>RTCP_SDES << 16 | 5)
    store32(data + 4, out_ssrc)
    data[8] = 1  # CNAME
    data[9] = LOAD_CNAME
    memcpy(data + 10, b"load-", 5)
    for i in range(8):
        data[15 + i] = <uint8_t>digits[(ssrc >> (28 - 4 * i)) & 15]
    data[23] = 0


cdef void load_fill_report(const load_stream *stream, const load_spoken *spoken, uint64_t since_ns, uint64_t wall_ns,
                           uint8_t *data) noexcept nogil:
    """A report of `since_ns` after the run's origin; wall_ns is that moment by the wall clock."""
    cdef int64_t media_ns = <int64_t>(since_ns - stream.phase_ns[RTP])
    cdef int64_t ahead = media_ns * <int64_t>stream.timestamp_step // <int64_t>stream.interval_ns[RTP]
    cdef uint64_t seconds = wall_ns // 1000000000
    store32(data, <uint32_t>0x80 << 24 | <uint32_t>RTCP_SR << 16 | 6)
    store32(data + 4, stream.ssrc)
    store32(data + 8, <uint32_t>(seconds + NTP_UNIX))
    store32(data + 12, <uint32_t>(((wall_ns - seconds * 1000000000) << 32) // 1000000000))
    store32(data + 16, <uint32_t>(stream.first_timestamp + stream.done[RTP] * stream.timestamp_step + <uint64_t>ahead))
    store32(data + 20, <uint32_t>spoken.sent_ever)
    store32(data + 24, <uint32_t>(spoken.sent_ever * stream.payload_octets))
    load_fill_cname(stream.ssrc, stream.ssrc, data + LOAD_REPORT_SR)


cdef bint load_same_report(const load_stream *stream, const uint8_t *data, uint32_t length) noexcept nogil:
    """Is it a report of this stream? Times and counts are the generator's alone to know."""
    cdef uint8_t[LOAD_REPORT - LOAD_REPORT_SR] cname
    if length != LOAD_REPORT or load32(data) != (<uint32_t>0x80 << 24 | <uint32_t>RTCP_SR << 16 | 6):
        return False
    load_fill_cname(stream.ssrc, stream.out_ssrc, cname)
    return load32(data + 4) == stream.out_ssrc and memcmp(data + LOAD_REPORT_SR, cname, sizeof(cname)) == 0


cdef void load_damage(const load_stream *stream, uint64_t forgery, uint8_t *data) noexcept nogil:
    """Make a protected copy a forgery."""
    cdef uint64_t kind = forgery % FORGERIES, place
    if kind == FORGE_PAYLOAD:
        place = RTP_HEADER + (forgery >> 8) % stream.payload_octets
        data[place] ^= <uint8_t>(1 << (forgery >> 56 & 7))
    elif kind == FORGE_SEQUENCE:
        data[2] ^= <uint8_t>(FORGE_SEQUENCE_BIT >> 8)
    else:
        store32(data + 8, load32(data + 8) ^ <uint32_t>FORGE_SSRC_BITS)
