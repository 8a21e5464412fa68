# What the fixed headers say (RFC 3550 5.1 and 6.4.1, RFC 5761 4, RFC 7983 7). Everything here is unproved input:
# no field is believed before it is held against the length.
#
#    0                   1                   2                   3
#    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
#   |V=2|P|X|  CC   |M|     PT      |       sequence number         |
#   |                           timestamp                           |
#   |                             SSRC                              |  then CC * 4 octets, then, if X,
#   |      defined by profile       |      length in 32-bit words   |

cdef enum:
    RTP_HEADER = 12
    RTCP_HEADER = 8
    RTP_PADDED = 0x20

cdef enum packet_kind:
    KIND_RTP
    KIND_RTCP
    KIND_STUN
    KIND_DTLS
    KIND_OTHER
    KIND_SHORT


cdef inline packet_kind classify(const uint8_t *p, uint32_t length) noexcept nogil:
    """First octet by RFC 7983, then RTCP by its packet type 192 to 223 (RFC 5761 4)."""
    if length < 2:
        return KIND_SHORT
    if p[0] >> 6 == 2:
        return KIND_RTCP if 192 <= p[1] <= 223 else KIND_RTP
    if p[0] <= 3:
        return KIND_STUN
    if 20 <= p[0] <= 63:
        return KIND_DTLS
    return KIND_OTHER


cdef inline uint32_t rtp_header_length(const uint8_t *p, uint32_t length) noexcept nogil:
    """Octets up to the payload, or 0 where version, CSRC count or extension contradict `length`."""
    cdef uint32_t header
    if length < RTP_HEADER or p[0] >> 6 != 2:
        return 0
    header = RTP_HEADER + 4 * (p[0] & 15)
    if p[0] & 0x10:
        if length < header + 4:
            return 0
        header += 4 + 4 * <uint32_t>load16(p + header + 2)
    return header if header <= length else 0


cdef inline uint16_t rtp_sequence(const uint8_t *p) noexcept nogil:
    return load16(p + 2)


cdef inline uint32_t rtp_ssrc(const uint8_t *p) noexcept nogil:
    return load32(p + 8)
