# File formats: what is common to pcap and pcapng, and the records of pcap.
#
#    octets --> file_step() --> one link-layer frame | nothing yet | more octets are needed | the file is damaged
#
# Everything here is foreign: a length is held against the format's bounds before it is waited for, and against what is
# there before it is used. The first thing that cannot be right ends the reading with a fault that tells where.
#
#   pcap file header, 24 octets:  magic  major:16 minor:16  zone  accuracy  snap length  link type
#   record header, 16 octets:     seconds  fraction  captured length  length on the wire

cdef extern from "pcap.h" nogil:
    const uint32_t PCAP_MICROSECONDS
    const uint32_t PCAP_NANOSECONDS
    const uint32_t PCAP_MODIFIED
    const uint32_t SNAP_ETHERTYPE
    const uint64_t CAPTURE_UNITS_MAX
    uint16_t capture_load16(const uint8_t *p, int little) noexcept
    uint32_t capture_load32(const uint8_t *p, int little) noexcept
    uint64_t capture_load64(const uint8_t *p, int little) noexcept
    int64_t capture_ns(uint64_t ticks, uint64_t units, int64_t offset_s) noexcept
    void capture_fence(const uint8_t *buffer, size_t capacity, const uint8_t *packet, size_t length) noexcept
    void capture_unfence(const uint8_t *buffer, size_t capacity) noexcept

cdef enum:
    CAPTURE_MAGIC = 4                   # octets that tell the format
    PCAP_FILE_HEADER = 24
    PCAP_RECORD_HEADER = 16
    PCAP_MODIFIED_HEADER = 24           # record header of Kuznetzov's libpcap: interface, protocol and type behind it
    PCAP_VERSION = 2
    PCAP_LENGTHS_SWAPPED = 2            # up to this minor version the length on the wire comes first
    PCAP_LENGTHS_UNSURE = 3             # under this one it did in some programs
    PCAP_LINKTYPE_MASK = 0x03FFFFFF     # the bits above tell of frame check sequences
    PACKET_LIMIT = 262144               # octets of a packet: Wireshark's bound too
    INTERFACE_LIMIT = 16384
    COOKED_LIMIT = 256                  # interfaces made up from the numbers in Linux cooked headers
    INTERFACE_TEXT = 128                # octets of a name or description that are kept
    SECRETS_LIMIT = 67108864            # octets of secrets that wait to be taken
    LINKTYPE_LIMIT = 64                 # link types that are told apart among those not read

cdef enum capture_format:
    FORMAT_UNKNOWN
    FORMAT_PCAP
    FORMAT_PCAPNG

# What became of a frame, and what else is counted; CAPTURE_COUNTERS below has the names.
cdef enum capture_counter:
    CAPTURE_PACKETS                     # handed out
    CAPTURE_CUT
    CAPTURE_LINK_TYPE
    CAPTURE_NOT_IP
    CAPTURE_NO_ROOM
    CAPTURE_IP_MALFORMED
    CAPTURE_OTHER_TRANSPORT
    CAPTURE_UDP_MALFORMED
    CAPTURE_TCP_MALFORMED
    CAPTURE_FRAGMENTS
    CAPTURE_REASSEMBLED
    CAPTURE_FRAGMENT_TWICE
    CAPTURE_FRAGMENT_OVERLAP
    CAPTURE_FRAGMENT_CUT
    CAPTURE_FRAGMENT_MISSING
    CAPTURE_NO_INTERFACE
    CAPTURE_INTERFACE_LIMIT
    CAPTURE_WITHOUT_TIME
    CAPTURE_OTHER_BLOCKS
    CAPTURE_SECRETS
    CAPTURE_SECRETS_LIMIT
    CAPTURE_COUNTER_COUNT

CAPTURE_COUNTERS = {
    "packets": "UDP and TCP payloads read",
    "cut": "of these, payloads of which the capture holds a part only",
    "link-type": "frames of a link type that is not read",
    "not-ip": "frames that hold no IP",
    "headers-cut": "frames captured too short to hold their headers",
    "ip-malformed": "IP headers that contradict themselves",
    "other-transport": "datagrams that are neither UDP nor TCP",
    "udp-malformed": "UDP lengths that cannot be",
    "tcp-malformed": "TCP header lengths that cannot be",
    "fragments": "frames with a fragment of a datagram",
    "reassembled": "datagrams put together from fragments",
    "fragment-twice": "fragments that were there already",
    "fragment-overlap": "fragments of datagrams refused because two of them overlap or contradict each other",
    "fragment-cut": "fragments of which the capture holds a part only",
    "fragment-missing": "datagrams of which a fragment never came",
    "no-interface": "packets of an interface that the file does not describe",
    "interface-limit": "interfaces, or packets of interfaces, beyond the number that is told apart",
    "without-time": "packets without a time; they are given that of the packet before",
    "other-blocks": "blocks that hold no packet",
    "secrets": "blocks of decryption secrets",
    "secrets-limit": "blocks of decryption secrets beyond the memory for them",
}
_CAPTURE_COUNTER_NAMES = tuple(CAPTURE_COUNTERS)

cdef enum capture_fault:
    FAULT_NONE
    FAULT_EMPTY
    FAULT_NOT_A_CAPTURE
    FAULT_VERSION
    FAULT_PACKET_LIMIT
    FAULT_CUT_OFF
    FAULT_BYTE_ORDER
    FAULT_BLOCK_LENGTH
    FAULT_BLOCK_LIMIT
    FAULT_BLOCK_ENDS
    FAULT_BLOCK_SHORT
    FAULT_BLOCK_CONTENT
    FAULT_MEMORY

_CAPTURE_FAULTS = (
    "",
    "the file is empty",
    "not a capture: it begins like neither pcap nor pcapng",
    "the file says it is version {a}.{b} of its format, which is not known here",
    "packet at octet {at} says it has {a:,} octets, and {b:,} is the most there can be; the file is damaged from here",
    "the file is cut off: what begins at octet {at} has {a:,} octets, of which {b:,} are there",
    "section header at octet {at} has no byte-order magic; the file is damaged from here",
    "block at octet {at} says it has {a:,} octets; the file is damaged from here",
    "block at octet {at} says it has {a:,} octets, and {b:,} is the most that is read",
    "block at octet {at} says it has {a:,} octets at its begin and {b:,} at its end; the file is damaged from here",
    "block at octet {at} has {a:,} octets, too few for what it is; the file is damaged from here",
    "block at octet {at} has {a:,} octets and says that it holds {b:,} of a packet; the file is damaged from here",
    "no memory to read on at octet {at}",
)

cdef enum capture_step:
    STEP_FRAME                          # one frame, to be looked into
    STEP_ON                             # something was consumed
    STEP_MORE                           # `need` octets have to be there
    STEP_FAULT

cdef struct capture_interface:
    uint64_t units                      # of its time stamps in a second
    int64_t offset_s                    # to be added to them
    uint32_t linktype
    uint32_t snaplen
    uint32_t parent                     # where it was made up from a cooked header: the interface that this came in on
    uint32_t ifindex                    # and the number there, or 0
    uint16_t name_length
    uint16_t description_length
    uint8_t[INTERFACE_TEXT] name
    uint8_t[INTERFACE_TEXT] description

cdef struct capture_frame:
    const uint8_t *data
    uint32_t len                        # octets captured
    uint32_t wire_len
    uint32_t interface

cdef struct capture_file:
    capture_format format
    capture_fault fault
    bint secrets_only
    bint little                         # byte order of the file, or of the section
    bint timed                          # a frame had a time
    uint16_t minor
    uint32_t record_header
    uint32_t trailer                    # length that must stand at the end of the block being passed over, or 0
    uint64_t hop                        # octets to pass over
    uint64_t at                         # place in the file of what is looked at
    uint64_t block_at                   # where the block being passed over began
    uint64_t need                       # octets from `at` that have to be there before a step can be made
    uint64_t fault_at
    uint64_t fault_a
    uint64_t fault_b
    uint64_t frames
    int64_t time_ns                     # of the newest frame
    int64_t first_ns
    int64_t last_ns
    capture_interface *interfaces
    uint32_t interface_count
    uint32_t interface_room
    uint32_t cooked_count
    uint32_t[COOKED_LIMIT] cooked       # numbers of the interfaces made up from cooked headers
    uint32_t section_count              # interfaces of this section
    uint32_t *section                   # their numbers
    uint8_t *secrets                    # records: type:32, length:32, octets
    uint64_t secrets_len
    uint64_t secrets_room
    uint32_t[LINKTYPE_LIMIT] linktypes  # those that are not read, and how often each came
    uint64_t[LINKTYPE_LIMIT] linktype_frames
    uint64_t[CAPTURE_COUNTER_COUNT] counters


cdef inline void file_count(capture_file *f, capture_counter counter) noexcept nogil:
    f.counters[<int>counter] += 1


cdef capture_step file_fault(capture_file *f, capture_fault fault, uint64_t at, uint64_t a, uint64_t b) noexcept nogil:
    """The end: nothing behind can be relied on."""
    if f.fault == FAULT_NONE:
        f.fault, f.fault_at, f.fault_a, f.fault_b = fault, at, a, b
    return STEP_FAULT


cdef inline capture_step file_more(capture_file *f, uint64_t need) noexcept nogil:
    f.need = need
    return STEP_MORE


cdef inline void file_time(capture_file *f, int64_t time_ns) noexcept nogil:
    """A frame begins. The first and last time are the earliest and latest: captures of several interfaces mix them."""
    f.time_ns = time_ns
    f.frames += 1
    if not f.timed:
        f.first_ns = f.last_ns = time_ns
        f.timed = True
    elif time_ns < f.first_ns:
        f.first_ns = time_ns
    elif time_ns > f.last_ns:
        f.last_ns = time_ns


cdef capture_interface *file_add_interface(capture_file *f) noexcept nogil:
    """A new one, all 0, or NULL without memory for it."""
    cdef capture_interface *grown
    cdef uint32_t room = f.interface_room
    if f.interface_count == room:
        room = 2 * room if room else 4
        grown = <capture_interface *>realloc(f.interfaces, room * sizeof(capture_interface))
        if grown == NULL:
            return NULL
        f.interfaces = grown
        f.interface_room = room
    grown = &f.interfaces[f.interface_count]
    memset(grown, 0, sizeof(capture_interface))
    f.interface_count += 1
    return grown


cdef uint32_t file_cooked_interface(capture_file *f, uint32_t parent, uint32_t ifindex) noexcept nogil:
    """Number of the interface that a cooked header names; `parent` where there are too many of them."""
    cdef uint32_t i
    cdef capture_interface *made
    for i in range(f.cooked_count):
        made = &f.interfaces[f.cooked[i]]
        if made.ifindex == ifindex and made.parent == parent:
            return f.cooked[i]
    made = file_add_interface(f) if f.cooked_count < COOKED_LIMIT else NULL
    if made == NULL:
        file_count(f, CAPTURE_INTERFACE_LIMIT)
        return parent
    f.cooked[f.cooked_count] = f.interface_count - 1
    f.cooked_count += 1
    made[0] = f.interfaces[parent]
    made.parent, made.ifindex = parent, ifindex
    made.name_length = made.description_length = 0
    return f.interface_count - 1


cdef inline bint pcap_magic(uint32_t magic) noexcept nogil:
    return magic == PCAP_MICROSECONDS or magic == PCAP_NANOSECONDS or magic == PCAP_MODIFIED


cdef capture_step pcap_begin(capture_file *f, const uint8_t *p, uint64_t there) noexcept nogil:
    """The file header."""
    cdef capture_interface *only
    cdef uint32_t magic
    if there < PCAP_FILE_HEADER:
        return file_more(f, PCAP_FILE_HEADER)
    f.little = not pcap_magic(load32(p))
    magic = capture_load32(p, f.little)
    f.minor = capture_load16(p + 6, f.little)
    if capture_load16(p + 4, f.little) != PCAP_VERSION:
        return file_fault(f, FAULT_VERSION, 0, capture_load16(p + 4, f.little), f.minor)
    only = file_add_interface(f)
    if only == NULL:
        return file_fault(f, FAULT_MEMORY, 0, 0, 0)
    only.units = 1000000000 if magic == PCAP_NANOSECONDS else 1000000
    only.snaplen = capture_load32(p + 16, f.little)
    only.linktype = capture_load32(p + 20, f.little) & PCAP_LINKTYPE_MASK
    f.record_header = PCAP_MODIFIED_HEADER if magic == PCAP_MODIFIED else PCAP_RECORD_HEADER
    f.format = FORMAT_PCAP
    f.hop = PCAP_FILE_HEADER
    return STEP_ON


cdef inline int64_t pcap_time(const capture_file *f, const uint8_t *p) noexcept nogil:
    """A fraction beyond the second is carried over, as Wireshark does."""
    cdef int64_t fraction = capture_load32(p + 4, f.little)
    if f.interfaces[0].units == 1000000:
        fraction *= 1000
    return <int64_t>capture_load32(p, f.little) * 1000000000 + fraction


cdef capture_step pcap_step(capture_file *f, const uint8_t *p, uint64_t there, capture_frame *frame) noexcept nogil:
    cdef uint32_t captured, wire, swap
    if there < f.record_header:
        return file_more(f, f.record_header)
    captured = capture_load32(p + 8, f.little)
    wire = capture_load32(p + 12, f.little)
    if f.minor <= PCAP_LENGTHS_SWAPPED or f.minor == PCAP_LENGTHS_UNSURE and captured > wire:
        swap, captured = captured, wire
        wire = swap
    if captured > PACKET_LIMIT:
        return file_fault(f, FAULT_PACKET_LIMIT, f.at, captured, PACKET_LIMIT)
    if f.secrets_only:
        file_time(f, pcap_time(f, p))
        f.hop = <uint64_t>f.record_header + captured
        f.block_at = f.at
        return STEP_ON
    if there < <uint64_t>f.record_header + captured:
        return file_more(f, <uint64_t>f.record_header + captured)
    file_time(f, pcap_time(f, p))
    frame.data = p + f.record_header
    frame.len = captured
    frame.wire_len = max(wire, captured)
    frame.interface = 0
    f.hop = <uint64_t>f.record_header + captured
    return STEP_FRAME


cdef capture_step file_begin(capture_file *f, const uint8_t *p, uint64_t there) noexcept nogil:
    """What kind of file it is, by its first octets."""
    cdef uint32_t magic
    if there < CAPTURE_MAGIC:
        return file_more(f, CAPTURE_MAGIC)
    magic = load32(p)
    if magic == PCAPNG_SECTION:
        f.format = FORMAT_PCAPNG
        return STEP_ON
    if pcap_magic(magic) or pcap_magic(capture_load32(p, True)):
        return pcap_begin(f, p, there)
    return file_fault(f, FAULT_NOT_A_CAPTURE, 0, 0, 0)


cdef inline capture_step file_step(capture_file *f, const uint8_t *p, uint64_t there,
                                   capture_frame *frame) noexcept nogil:
    """One step over the `there` octets at `p`; the caller passes f.hop octets before the next one."""
    if f.format == FORMAT_PCAP:
        return pcap_step(f, p, there, frame)
    if f.format == FORMAT_PCAPNG:
        return pcapng_step(f, p, there, frame)
    return file_begin(f, p, there)


cdef void file_free(capture_file *f) noexcept nogil:
    free(f.interfaces)
    free(f.section)
    if f.secrets != NULL:
        wipe(f.secrets, f.secrets_room)
    free(f.secrets)
