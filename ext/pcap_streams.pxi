# Which stream a packet belongs to: where it came from, where it went, its SSRC, and whether it is RTCP. What looks like
# media is taken for media here (RFC 5761 4, RFC 7983 7); whether it is shows over several packets (pcap_survey.pxi).

cdef enum:
    IPV4_OCTETS = 4
    IPV6_OCTETS = 16
    STREAM_KEY_WORDS = 6        # of 64 bits
    STREAM_TABLE_LEAST = 16

# Compared and hashed as octets: what is not used is zero.
cdef struct stream_key:
    uint8_t[16] source          # IPv4 in the first four
    uint8_t[16] destination
    uint32_t interface
    uint32_t ssrc
    uint16_t source_port
    uint16_t destination_port
    uint8_t family              # 4 or 6
    uint8_t rtcp
    uint8_t[2] reserved


cdef inline void addresses_key(const pcap_packet *packet, stream_key *key) noexcept nogil:
    """All but what the payload says."""
    memset(key, 0, sizeof(stream_key))
    memcpy(key.source, packet.source, 16)
    memcpy(key.destination, packet.destination, 16)
    key.source_port = packet.source_port
    key.destination_port = packet.destination_port
    key.family = packet.family


cdef inline bint looks_like_rtcp(const pcap_packet *packet) noexcept nogil:
    """The first packet of a compound one is in clear up to its SSRC, under SRTCP as well: its length must fit."""
    cdef uint32_t step
    if packet.len < RTCP_HEADER:
        return False
    step = 4 + 4 * <uint32_t>load16(packet.data + 2)
    return RTCP_HEADER <= step <= packet.wire_len


cdef inline bint media_key(const pcap_packet *packet, stream_key *key) noexcept nogil:
    """Whether a datagram can be RTP or RTCP, plain or not, and then its stream."""
    cdef packet_kind kind
    if packet.protocol != PROTOCOL_UDP:
        return False
    kind = classify(packet.data, packet.len)
    if kind == KIND_RTP:
        if rtp_header_length(packet.data, packet.len) == 0:
            return False
    elif kind != KIND_RTCP or not looks_like_rtcp(packet):
        return False
    addresses_key(packet, key)
    key.interface = packet.interface
    key.rtcp = kind == KIND_RTCP
    key.ssrc = load32(packet.data + 4) if key.rtcp else rtp_ssrc(packet.data)
    return True


cdef tuple stream_key_tuple(const stream_key *key):
    """StreamKey: (interface, family, source, source port, destination, destination port, SSRC, RTCP)."""
    cdef int octets = IPV4_OCTETS if key.family == 4 else IPV6_OCTETS
    return (
        key.interface, key.family, (<const char *>key.source)[:octets], key.source_port,
        (<const char *>key.destination)[:octets], key.destination_port, key.ssrc, key.rtcp != 0,
    )


cdef int take_address(uint8_t *out, bytes address, int family) except -1:
    if family not in (4, 6):
        raise ValueError("an address family is 4 or 6")
    if len(address) != (IPV4_OCTETS if family == 4 else IPV6_OCTETS):
        raise ValueError(f"{len(address)} octets are no address of IPv{family}")
    memcpy(out, <const char *>address, len(address))
    return 0


cdef inline int stream_key_from(tuple wanted, stream_key *key) except -1:
    """A StreamKey as a record. ValueError, TypeError or OverflowError where it is none."""
    interface, family, source, source_port, destination, destination_port, ssrc, rtcp = wanted
    memset(key, 0, sizeof(stream_key))
    take_address(key.source, source, family)
    take_address(key.destination, destination, family)
    key.interface = interface
    key.family = family
    key.source_port = source_port
    key.destination_port = destination_port
    key.ssrc = ssrc
    key.rtcp = bool(rtcp)
    return 0


cdef class StreamTable:
    """Numbers of streams, from 0 on in the order of add(). Fixed in size; its pages are touched as it fills.

    A hash with open addressing, no more than half full. The seed is random: a capture cannot be made so that all its
    streams meet in one place."""
    cdef stream_key *keys
    cdef uint32_t *slots        # a stream's number + 1, or 0
    cdef uint64_t seed
    cdef uint32_t mask
    cdef uint32_t capacity
    cdef uint32_t count

    def __cinit__(self, uint32_t capacity):
        cdef uint32_t slots = STREAM_TABLE_LEAST
        if not 1 <= capacity <= 1 << 24:
            raise ValueError("a table has room for 1 to 2^24 streams")
        while slots < 2 * capacity:
            slots *= 2
        self.keys = <stream_key *>calloc(capacity, sizeof(stream_key))
        self.slots = <uint32_t *>calloc(slots, sizeof(uint32_t))
        if self.keys == NULL or self.slots == NULL:
            raise MemoryError("no memory for a table of streams")
        self.mask = slots - 1
        self.capacity = capacity
        self.seed = random64()

    def __dealloc__(self):
        free(self.keys)
        free(self.slots)

    cdef inline uint32_t home(self, const stream_key *key) noexcept nogil:
        """The slot where a key would best be."""
        cdef uint64_t[STREAM_KEY_WORDS] words
        cdef uint64_t hash = self.seed
        cdef int i
        memcpy(words, key, sizeof(stream_key))
        for i in range(STREAM_KEY_WORDS):
            hash = (hash ^ words[i]) * <uint64_t>0x9E3779B97F4A7C15
            hash ^= hash >> 32
        return <uint32_t>mix64(hash) & self.mask

    cdef inline uint32_t slot_of(self, const stream_key *key) noexcept nogil:
        """The slot that has the key, or the empty one where it belongs."""
        cdef uint32_t slot = self.home(key)
        while self.slots[slot] and memcmp(&self.keys[self.slots[slot] - 1], key, sizeof(stream_key)):
            slot = (slot + 1) & self.mask
        return slot

    cdef inline int64_t find(self, const stream_key *key) noexcept nogil:
        """The stream's number, or -1 where it is not there."""
        return <int64_t>self.slots[self.slot_of(key)] - 1

    cdef int64_t add(self, const stream_key *key) noexcept nogil:
        """The number of a stream that is not there yet, or -1 where the table is full."""
        if self.count == self.capacity:
            return -1
        self.keys[self.count] = key[0]
        self.slots[self.slot_of(key)] = self.count + 1
        self.count += 1
        return self.count - 1

    cdef void rename(self, uint32_t number, const stream_key *key) noexcept nogil:
        """Give a stream's number to another, which is not there yet."""
        cdef uint32_t gap = self.slot_of(&self.keys[number]), slot, home
        # what lies behind the gap and could not be found past it moves up (Knuth, vol. 3, 6.4, algorithm R)
        slot = gap
        while True:
            slot = (slot + 1) & self.mask
            if self.slots[slot] == 0:
                break
            home = self.home(&self.keys[self.slots[slot] - 1])
            if ((slot - home) & self.mask) >= ((slot - gap) & self.mask):
                self.slots[gap] = self.slots[slot]
                gap = slot
        self.slots[gap] = 0
        self.keys[number] = key[0]
        self.slots[self.slot_of(key)] = number + 1
