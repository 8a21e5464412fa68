# IP headers to UDP and TCP payloads (RFC 791, RFC 8200, RFC 768, RFC 9293).
#
# The end of the datagram is where IP says, not where the frame ends: Ethernet pads. Checksums are not looked at, since
# captures hold what a network card was still to fill in.

cdef enum:
    IP4_HEADER = 20
    IP6_HEADER = 40
    IP4_MORE = 0x2000
    IP4_OFFSET = 0x1FFF                 # in units of 8 octets
    IP6_OFFSET = 0xFFF8                 # in octets
    IP6_EXTENSIONS = 16                 # that are gone over
    IP6_FRAGMENT_HEADER = 8
    UDP_HEADER = 8
    TCP_HEADER = 20
    TCP_SYN = 0x02

cdef enum ip_protocol:
    PROTOCOL_HOP_BY_HOP = 0
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    PROTOCOL_ROUTING = 43
    PROTOCOL_FRAGMENT = 44
    PROTOCOL_AUTHENTICATION = 51
    PROTOCOL_DESTINATION = 60
    PROTOCOL_MOBILITY = 135
    PROTOCOL_HOST_IDENTITY = 139
    PROTOCOL_SHIM6 = 140


cdef inline void payload_from(const link_rest *rest, pcap_packet *packet) noexcept nogil:
    packet.data, packet.len, packet.wire_len = rest.data, rest.len, rest.wire_len


cdef inline capture_counter udp_open(link_rest *rest, pcap_packet *packet) noexcept nogil:
    cdef uint32_t length
    if rest.len < UDP_HEADER:
        return CAPTURE_UDP_MALFORMED if rest.wire_len < UDP_HEADER else CAPTURE_NO_ROOM
    packet.source_port, packet.destination_port = load16(rest.data), load16(rest.data + 2)
    length = load16(rest.data + 4)
    if length == 0 and packet.family == 6:
        length = rest.wire_len  # more than 16 bits hold (RFC 2675), or still to be cut up by the network card
    if length < UDP_HEADER or length > rest.wire_len:
        return CAPTURE_UDP_MALFORMED
    rest.wire_len, rest.len = length, min(rest.len, length)
    link_pass(rest, UDP_HEADER)
    payload_from(rest, packet)
    return CAPTURE_PACKETS


cdef capture_counter tcp_open(link_rest *rest, pcap_packet *packet) noexcept nogil:
    cdef uint32_t header
    if rest.len < TCP_HEADER:
        return CAPTURE_TCP_MALFORMED if rest.wire_len < TCP_HEADER else CAPTURE_NO_ROOM
    packet.source_port, packet.destination_port = load16(rest.data), load16(rest.data + 2)
    packet.tcp_flags = rest.data[13]
    packet.tcp_sequence = load32(rest.data + 4)
    if packet.tcp_flags & TCP_SYN:
        packet.tcp_sequence += 1  # SYN takes a number of its own
    header = 4 * <uint32_t>(rest.data[12] >> 4)
    if header < TCP_HEADER or header > rest.wire_len:
        return CAPTURE_TCP_MALFORMED
    if not link_pass(rest, header):
        return CAPTURE_NO_ROOM
    payload_from(rest, packet)
    return CAPTURE_PACKETS


cdef inline capture_counter transport_open(uint8_t protocol, link_rest *rest, pcap_packet *packet) noexcept nogil:
    packet.protocol = protocol
    if protocol == PROTOCOL_UDP:
        return udp_open(rest, packet)
    if protocol == PROTOCOL_TCP:
        return tcp_open(rest, packet)
    return CAPTURE_OTHER_TRANSPORT


cdef inline void fragment_name(fragment_key *key, const pcap_packet *packet, uint32_t id,
                               uint8_t protocol) noexcept nogil:
    memset(key, 0, sizeof(fragment_key))
    key.interface, key.id, key.family, key.protocol = packet.interface, id, packet.family, protocol
    memcpy(key.source, packet.source, 16)
    memcpy(key.destination, packet.destination, 16)


cdef capture_counter ip4_fragment(capture_file *f, fragment_table *table, const uint8_t *ip, link_rest *rest,
                                  pcap_packet *packet) noexcept nogil:
    cdef fragment_key key
    cdef uint8_t protocol = ip[9]
    cdef uint16_t word = load16(ip + 6)
    cdef capture_counter outcome
    fragment_name(&key, packet, load16(ip + 4), protocol)
    outcome = fragment_take(f, table, &key, rest, FRAGMENT_UNIT * <uint32_t>(word & IP4_OFFSET), word & IP4_MORE != 0,
                            &protocol)
    if outcome != CAPTURE_PACKETS:
        return outcome
    packet.reassembled = 1
    return transport_open(protocol, rest, packet)


cdef inline capture_counter ip4_open(capture_file *f, fragment_table *table, link_rest *rest,
                                     pcap_packet *packet) noexcept nogil:
    cdef const uint8_t *ip = rest.data
    cdef uint32_t header, total
    if rest.len < IP4_HEADER:
        return CAPTURE_IP_MALFORMED if rest.wire_len < IP4_HEADER else CAPTURE_NO_ROOM
    header, total = 4 * <uint32_t>(ip[0] & 15), load16(ip + 2)
    if total == 0:
        total = rest.wire_len  # still to be cut up by the network card
    if header < IP4_HEADER or total < header:
        return CAPTURE_IP_MALFORMED
    rest.wire_len, rest.len = total, min(rest.len, total)
    if not link_pass(rest, header):
        return CAPTURE_NO_ROOM
    packet.family = 4
    memcpy(packet.source, ip + 12, 4)
    memcpy(packet.destination, ip + 16, 4)
    if load16(ip + 6) & (IP4_MORE | IP4_OFFSET):
        return ip4_fragment(f, table, ip, rest, packet)
    return transport_open(ip[9], rest, packet)


cdef inline uint32_t extension_length(uint8_t protocol, const uint8_t *p) noexcept nogil:
    """Octets of an IPv6 extension header other than that of a fragment, or 0 where it is none."""
    if protocol == PROTOCOL_AUTHENTICATION:
        return 4 * (<uint32_t>p[1] + 2)
    if protocol in (PROTOCOL_HOP_BY_HOP, PROTOCOL_ROUTING, PROTOCOL_DESTINATION, PROTOCOL_MOBILITY,
                    PROTOCOL_HOST_IDENTITY, PROTOCOL_SHIM6):
        return 8 * (<uint32_t>p[1] + 1)
    return 0


cdef capture_counter ip6_fragment(capture_file *f, fragment_table *table, link_rest *rest, uint8_t *protocol,
                                  pcap_packet *packet) noexcept nogil:
    """Go over a fragment header. CAPTURE_PACKETS: the datagram is whole, and `protocol` what it begins with."""
    cdef const uint8_t *header = rest.data
    cdef uint16_t word
    cdef fragment_key key
    if packet.reassembled:
        return CAPTURE_IP_MALFORMED  # a fragment within fragments
    if not link_pass(rest, IP6_FRAGMENT_HEADER):
        return CAPTURE_NO_ROOM
    protocol[0], word = header[0], load16(header + 2)
    if word & (IP6_OFFSET | 1) == 0:
        return CAPTURE_PACKETS  # the only one (RFC 6946)
    fragment_name(&key, packet, load32(header + 4), 0)
    packet.reassembled = 1
    return fragment_take(f, table, &key, rest, word & IP6_OFFSET, word & 1, protocol)


cdef capture_counter ip6_extensions(capture_file *f, fragment_table *table, uint8_t protocol, link_rest *rest,
                                    pcap_packet *packet) noexcept nogil:
    """From header to header, up to the first that is no extension."""
    cdef uint32_t length
    cdef uint8_t following
    cdef capture_counter outcome
    for _ in range(IP6_EXTENSIONS):
        if protocol == PROTOCOL_FRAGMENT:
            outcome = ip6_fragment(f, table, rest, &protocol, packet)
            if outcome != CAPTURE_PACKETS:
                return outcome
            continue
        if rest.len < 2:
            return CAPTURE_NO_ROOM if rest.len < rest.wire_len else CAPTURE_IP_MALFORMED
        length = extension_length(protocol, rest.data)
        if length == 0:
            return transport_open(protocol, rest, packet)
        following = rest.data[0]
        if length > rest.wire_len:
            return CAPTURE_IP_MALFORMED
        if not link_pass(rest, length):
            return CAPTURE_NO_ROOM
        protocol = following
    return CAPTURE_IP_MALFORMED


cdef inline capture_counter ip6_open(capture_file *f, fragment_table *table, link_rest *rest,
                                     pcap_packet *packet) noexcept nogil:
    cdef const uint8_t *ip = rest.data
    cdef uint32_t length
    if not link_pass(rest, IP6_HEADER):
        return CAPTURE_IP_MALFORMED if rest.wire_len < IP6_HEADER else CAPTURE_NO_ROOM
    length = load16(ip + 4)
    if length:  # else a jumbogram (RFC 2675), or still to be cut up by the network card
        rest.wire_len, rest.len = length, min(rest.len, length)
    packet.family = 6
    memcpy(packet.source, ip + 8, 16)
    memcpy(packet.destination, ip + 24, 16)
    if ip[6] == PROTOCOL_UDP or ip[6] == PROTOCOL_TCP:
        return transport_open(ip[6], rest, packet)
    return ip6_extensions(f, table, ip[6], rest, packet)


cdef inline capture_counter ip_open(capture_file *f, fragment_table *table, link_rest *rest,
                                    pcap_packet *packet) noexcept nogil:
    """CAPTURE_PACKETS where the packet is filled in; else what it was instead."""
    if rest.len == 0:
        return CAPTURE_NO_ROOM if rest.wire_len else CAPTURE_NOT_IP
    if rest.data[0] >> 4 == 4:
        return ip4_open(f, table, rest, packet)
    if rest.data[0] >> 4 == 6:
        return ip6_open(f, table, rest, packet)
    return CAPTURE_NOT_IP
