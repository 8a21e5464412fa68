# Link layers: a frame to its IP header.
#
#   Ethernet            destination 6, source 6, type 2 [VLAN tag 2, type 2]... [MPLS labels | PPPoE | LLC and SNAP]
#   Linux cooked v1     packet type 2, hardware 2, address length 2, address 8, type 2
#   Linux cooked v2     type 2, reserved 2, interface 4, hardware 2, packet type 1, address length 1, address 8
#   BSD loopback        address family 4, in the byte order of the host that captured, or of the network
#   raw IP              nothing

cdef enum link_type:
    LINK_NULL = 0
    LINK_ETHERNET = 1
    LINK_RAW_BSD = 12
    LINK_RAW_OPENBSD = 14
    LINK_RAW = 101
    LINK_LOOP = 108
    LINK_COOKED = 113
    LINK_IPV4 = 228
    LINK_IPV6 = 229
    LINK_COOKED_V2 = 276

cdef enum:
    ETHERNET_HEADER = 14
    COOKED_HEADER = 16
    COOKED_V2_HEADER = 20
    LOOPBACK_HEADER = 4
    VLAN_TAG = 4
    TAG_LIMIT = 8                       # VLAN tags or MPLS labels of a frame
    LABEL_LAST = 0x100                  # of an MPLS label: the bottom of the stack
    PPPOE_HEADER = 8                    # with the protocol of PPP
    PPP_IPV4 = 0x0021
    PPP_IPV6 = 0x0057
    SNAP_HEADER = 8                     # LLC 3, organization 3, type 2
    LENGTH_LAST = 1500                  # a type up to this is a length
    TYPE_IPV4 = 0x0800
    TYPE_IPV6 = 0x86DD
    TYPE_VLAN = 0x8100
    TYPE_QINQ = 0x88A8
    TYPE_QINQ_OLD = 0x9100
    TYPE_MPLS = 0x8847
    TYPE_PPPOE = 0x8864
    TYPE_LLC = 0x0004                   # in cooked headers
    FAMILY_IPV4 = 2                     # of BSD, as all have it
    FAMILY_IPV6_LINUX = 10
    FAMILY_IPV6_NETBSD = 24
    FAMILY_IPV6_FREEBSD = 28
    FAMILY_IPV6_DARWIN = 30

# What of a frame is still to be looked into.
cdef struct link_rest:
    const uint8_t *data
    uint32_t len                        # captured
    uint32_t wire_len


cdef inline bint link_pass(link_rest *rest, uint32_t octets) noexcept nogil:
    """Go over a header. False where it was not captured whole."""
    if rest.len < octets:
        return False
    rest.data += octets
    rest.len -= octets
    rest.wire_len -= octets
    return True


cdef capture_counter link_labels(link_rest *rest) noexcept nogil:
    """MPLS (RFC 3032): what follows the last label is told by its version alone."""
    cdef uint32_t label
    for _ in range(TAG_LIMIT):
        if rest.len < 4:
            return CAPTURE_NO_ROOM
        label = load32(rest.data)
        link_pass(rest, 4)
        if label & LABEL_LAST:
            return CAPTURE_PACKETS
    return CAPTURE_NOT_IP


cdef capture_counter link_encapsulated(link_rest *rest, uint16_t type) noexcept nogil:
    """PPPoE (RFC 2516), MPLS, SNAP: less usual ways to IP."""
    cdef uint16_t protocol
    if type == TYPE_MPLS:
        return link_labels(rest)
    if type == TYPE_PPPOE:
        if not link_pass(rest, PPPOE_HEADER):
            return CAPTURE_NO_ROOM
        protocol = load16(rest.data - 2)
        return CAPTURE_PACKETS if protocol == PPP_IPV4 or protocol == PPP_IPV6 else CAPTURE_NOT_IP
    if type <= LENGTH_LAST:
        if not link_pass(rest, SNAP_HEADER):
            return CAPTURE_NOT_IP
        if load32(rest.data - SNAP_HEADER) != SNAP_ETHERTYPE or load16(rest.data - 4) != 0:
            return CAPTURE_NOT_IP
        type = load16(rest.data - 2)
        return CAPTURE_PACKETS if type == TYPE_IPV4 or type == TYPE_IPV6 else CAPTURE_NOT_IP
    return CAPTURE_NOT_IP


cdef inline capture_counter link_typed(link_rest *rest, uint16_t type) noexcept nogil:
    """Behind an EtherType: VLAN and QinQ tags, then IP."""
    for _ in range(TAG_LIMIT):
        if type == TYPE_IPV4 or type == TYPE_IPV6:
            return CAPTURE_PACKETS
        if type != TYPE_VLAN and type != TYPE_QINQ and type != TYPE_QINQ_OLD:
            return link_encapsulated(rest, type)
        if not link_pass(rest, VLAN_TAG):
            return CAPTURE_NO_ROOM
        type = load16(rest.data - 2)
    return CAPTURE_PACKETS if type == TYPE_IPV4 or type == TYPE_IPV6 else CAPTURE_NOT_IP


cdef capture_counter link_loopback(link_rest *rest) noexcept nogil:
    """The family is below 256: the octet that is not 0 tells the byte order."""
    cdef uint32_t family
    if not link_pass(rest, LOOPBACK_HEADER):
        return CAPTURE_NO_ROOM
    family = load32(rest.data - LOOPBACK_HEADER)
    if family > 0xFFFF:
        family = capture_load32(rest.data - LOOPBACK_HEADER, True)
    if family in (FAMILY_IPV4, FAMILY_IPV6_LINUX, FAMILY_IPV6_NETBSD, FAMILY_IPV6_FREEBSD, FAMILY_IPV6_DARWIN):
        return CAPTURE_PACKETS
    return CAPTURE_NOT_IP


cdef capture_counter link_cooked_v2(capture_file *f, capture_frame *frame, link_rest *rest) noexcept nogil:
    """Its header names the interface that the packet came in on."""
    if not link_pass(rest, COOKED_V2_HEADER):
        return CAPTURE_NO_ROOM
    if load32(rest.data - 16):
        frame.interface = file_cooked_interface(f, frame.interface, load32(rest.data - 16))
    return link_typed(rest, load16(rest.data - COOKED_V2_HEADER))


cdef void link_not_read(capture_file *f, uint32_t linktype) noexcept nogil:
    """Counted by link type, as far as there is room to tell them apart."""
    cdef int i
    for i in range(LINKTYPE_LIMIT):
        if f.linktype_frames[i] == 0 or f.linktypes[i] == linktype:
            f.linktypes[i] = linktype
            f.linktype_frames[i] += 1
            return


cdef capture_counter link_open(capture_file *f, capture_frame *frame, link_rest *rest) noexcept nogil:
    """CAPTURE_PACKETS where `rest` begins with what should be an IP header; else why not."""
    cdef uint32_t linktype = f.interfaces[frame.interface].linktype
    rest.data, rest.len, rest.wire_len = frame.data, frame.len, frame.wire_len
    if linktype == LINK_ETHERNET:
        if not link_pass(rest, ETHERNET_HEADER):
            return CAPTURE_NO_ROOM
        return link_typed(rest, load16(rest.data - 2))
    if linktype == LINK_COOKED:
        if not link_pass(rest, COOKED_HEADER):
            return CAPTURE_NO_ROOM
        return link_typed(rest, load16(rest.data - 2))
    if linktype == LINK_COOKED_V2:
        return link_cooked_v2(f, frame, rest)
    if linktype == LINK_NULL or linktype == LINK_LOOP:
        return link_loopback(rest)
    if linktype in (LINK_RAW, LINK_RAW_BSD, LINK_RAW_OPENBSD, LINK_IPV4, LINK_IPV6):
        return CAPTURE_PACKETS
    link_not_read(f, linktype)
    return CAPTURE_LINK_TYPE
