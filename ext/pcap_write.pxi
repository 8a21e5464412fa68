# Packet blocks of pcapng, formatted for writing: a payload under IP and UDP headers made anew, since what was decrypted
# is shorter than what was captured. Link type 101 (raw IP), nanoseconds, this machine's byte order.
#
#   0      4        8           12         16        20         24           28
#   | 6    | length | interface | time high | time low | captured | on the wire |
#   | IPv4 or IPv6 header | UDP header | payload | 0 to 3 octets | comment | end of options | length |

cdef extern from "sys/mman.h" nogil:
    int munmap(void *addr, size_t length)

cdef extern from "string.h" nogil:
    size_t strnlen(const char *text, size_t most)

cdef enum:
    WRITE_CAPACITY = 1 << 20        # octets
    WRITE_CAPACITY_MIN = 1 << 17    # holds the longest block, and the longest scheduled piece
    WRITE_CAPACITY_MAX = 1 << 26
    WRITE_COMMENT_MAX = 1024        # octets
    BLOCK_HEAD = 28
    BLOCK_TAIL = 4
    BLOCK_PACKET = 6                # enhanced packet block
    BLOCK_OPTION = 4
    BLOCK_COMMENT = 1
    WRITE_IPV4 = 20
    WRITE_IPV6 = 40
    WRITE_UDP = 8
    WRITE_DATAGRAM_MAX = 65535            # IPv4 with its header, IPv6 without
    WRITE_HOPS = 64                 # time to live: that of the captured packet is not kept
    WRITE_PROTOCOL = 17

cdef struct block_head:
    uint32_t type
    uint32_t length
    uint32_t interface
    uint32_t time_high
    uint32_t time_low
    uint32_t captured
    uint32_t wire

cdef struct write_piece:            # blocks that stand before a frame
    uint64_t frame
    size_t begin
    size_t end


cdef inline uint64_t sum_octets(const uint8_t *p, uint32_t length, uint64_t total) noexcept nogil:
    """Of the words as this machine reads them, zeros behind the last (RFC 1071 2 B: their order does not matter)."""
    cdef uint32_t word, i, whole = length & ~<uint32_t>3
    for i in range(0, whole, 4):
        memcpy(&word, p + i, 4)
        total += word
    word = 0
    memcpy(&word, p + whole, length & 3)
    return total + word


cdef inline void write_sum(uint8_t *p, uint64_t total) noexcept nogil:
    """The Internet checksum (RFC 1071) of what was summed."""
    cdef uint16_t folded
    total = (total & <uint64_t>0xFFFFFFFF) + (total >> 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    folded = <uint16_t>(total ^ 0xFFFF)
    memcpy(p, &folded, 2)


cdef inline void write_be16(uint8_t *p, uint32_t v) noexcept nogil:
    p[0] = <uint8_t>(v >> 8)
    p[1] = <uint8_t>v


cdef uint32_t write_ipv4(uint8_t *p, const pcap_packet *packet, uint32_t udp) noexcept nogil:
    """RFC 791 3.1. Never a fragment, so without an identification (RFC 6864 4.1)."""
    memset(p, 0, WRITE_IPV4)
    p[0] = 0x45
    write_be16(p + 2, WRITE_IPV4 + udp)
    p[6] = 0x40                     # don't fragment
    p[8] = WRITE_HOPS
    p[9] = WRITE_PROTOCOL
    memcpy(p + 12, packet.source, 4)
    memcpy(p + 16, packet.destination, 4)
    write_sum(p + 10, sum_octets(p, WRITE_IPV4, 0))
    return WRITE_IPV4


cdef uint32_t write_ipv6(uint8_t *p, const pcap_packet *packet, uint32_t udp) noexcept nogil:
    """RFC 8200 3."""
    memset(p, 0, 8)
    p[0] = 0x60
    write_be16(p + 4, udp)
    p[6] = WRITE_PROTOCOL
    p[7] = WRITE_HOPS
    memcpy(p + 8, packet.source, 16)
    memcpy(p + 24, packet.destination, 16)
    return WRITE_IPV6


cdef void write_udp(uint8_t *p, const pcap_packet *packet, uint32_t udp, uint32_t captured) noexcept nogil:
    """The header before a payload that is there already. The sum is over what was captured of it."""
    cdef uint8_t[4] pseudo
    cdef uint64_t total
    cdef uint32_t address = 4 if packet.family == 4 else 16
    write_be16(p, packet.source_port)
    write_be16(p + 2, packet.destination_port)
    write_be16(p + 4, udp)
    write_be16(p + 6, 0)
    write_be16(&pseudo[0], WRITE_PROTOCOL)
    write_be16(&pseudo[2], udp)
    total = sum_octets(packet.source, address, sum_octets(packet.destination, address, sum_octets(pseudo, 4, 0)))
    write_sum(p + 6, sum_octets(p, WRITE_UDP + captured, total))
    if p[6] == 0 and p[7] == 0:
        write_be16(p + 6, 0xFFFF)      # zero means that there is none (RFC 768)


cdef int put_address(uint8_t *octets, tuple address) except -1:
    """(family, address, port) to octets; the port."""
    cdef bytes given = address[1]
    cdef uint16_t port = address[2]
    if {4: 4, 6: 16}.get(address[0]) != len(given):
        raise ValueError("an IPv4 address has 4 octets, an IPv6 address 16")
    memcpy(octets, <const uint8_t *><const char *>given, len(given))
    return port


cdef class BlockWriter:
    """A buffer of packet blocks. It holds decrypted media, so it is wiped when freed, and left out of core dumps."""
    cdef uint8_t *buffer
    cdef size_t capacity
    cdef size_t used
    cdef bytes blocks               # of the pieces, and where they lie
    cdef const uint8_t *placed
    cdef write_piece *pieces
    cdef size_t piece_count
    cdef size_t piece               # the next one
    cdef readonly uint64_t packets
    cdef readonly uint64_t skipped  # no datagram is that long

    def __cinit__(self, size_t capacity=WRITE_CAPACITY):
        if not WRITE_CAPACITY_MIN <= capacity <= WRITE_CAPACITY_MAX:
            raise ValueError(f"a buffer of blocks has {WRITE_CAPACITY_MIN} to {WRITE_CAPACITY_MAX} octets")
        self.capacity = capacity
        self.blocks = b""
        self.buffer = <uint8_t *>mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if <void *>self.buffer == <void *>-1:
            self.buffer = NULL
            raise MemoryError("no memory for blocks")
        madvise(self.buffer, capacity, MADV_DONTDUMP)

    def __dealloc__(self):
        free(self.pieces)
        if self.buffer != NULL:
            wipe(self.buffer, self.capacity)
            munmap(self.buffer, self.capacity)

    def schedule(self, list pieces):
        """Have whole blocks stand before the first packet whose frame is at least theirs: (frame, blocks), in order."""
        cdef write_piece *records
        cdef size_t begin = 0, i
        if any(later[0] < before[0] for before, later in zip(pieces, pieces[1:])):
            raise ValueError("pieces come in order of their frames")
        if any(len(blocks) > WRITE_CAPACITY_MIN for _, blocks in pieces):
            raise ValueError(f"a piece has at most {WRITE_CAPACITY_MIN} octets")
        records = <write_piece *>calloc(max(len(pieces), 1), sizeof(write_piece))
        if records == NULL:
            raise MemoryError
        free(self.pieces)
        self.pieces = records
        self.piece_count = self.piece = 0
        for i, (frame, blocks) in enumerate(pieces):
            records[i].frame = frame
            records[i].begin = begin
            begin += len(blocks)
            records[i].end = begin
        self.blocks = b"".join([blocks for _, blocks in pieces])
        self.placed = <const uint8_t *><const char *>self.blocks
        self.piece_count = len(pieces)

    cdef bint place_pieces(self, uint64_t frame) noexcept nogil:
        """Those that stand before `frame`. False: full."""
        cdef write_piece *piece
        cdef size_t length
        while self.piece < self.piece_count and self.pieces[self.piece].frame <= frame:
            piece = &self.pieces[self.piece]
            length = piece.end - piece.begin
            if length > self.capacity - self.used:
                return False
            memcpy(self.buffer + self.used, self.placed + piece.begin, length)
            self.used += length
            self.piece += 1
        return True

    cdef bint add(self, const pcap_packet *packet, const uint8_t *payload, uint32_t length, uint32_t interface,
                  const char *comment) noexcept nogil:
        """A block of `packet` with `payload` in place of its own. False: full, nothing was added; take() first.

        Where the payload is the packet's own, whole, its length on the wire is kept. `comment` may be NULL.
        """
        cdef uint32_t wire = packet.wire_len if payload == packet.data and length == packet.len else length
        cdef uint32_t headers = WRITE_UDP + (WRITE_IPV4 if packet.family == 4 else WRITE_IPV6)
        cdef uint32_t most = WRITE_DATAGRAM_MAX - (headers if packet.family == 4 else <uint32_t>WRITE_UDP)
        if self.piece < self.piece_count and not self.place_pieces(packet.frame):
            return False
        if length > most:
            self.skipped += 1
            return True
        return self.add_block(packet, payload, length, min(max(wire, length), most), interface, comment)

    cdef bint add_block(self, const pcap_packet *packet, const uint8_t *payload, uint32_t length, uint32_t wire,
                        uint32_t interface, const char *comment) noexcept nogil:
        cdef uint32_t words = <uint32_t>strnlen(comment, WRITE_COMMENT_MAX) if comment != NULL else 0
        cdef uint32_t options = 2 * BLOCK_OPTION + ((words + 3) & ~<uint32_t>3) if words else 0
        cdef uint32_t headers = WRITE_UDP + (WRITE_IPV4 if packet.family == 4 else WRITE_IPV6)
        cdef uint32_t padded = (headers + length + 3) & ~<uint32_t>3
        cdef uint64_t time = <uint64_t>max(packet.time_ns, <int64_t>0)
        cdef uint8_t *p = self.buffer + self.used
        cdef uint8_t *ip = p + BLOCK_HEAD
        cdef block_head head
        head.type = BLOCK_PACKET
        head.length = BLOCK_HEAD + padded + options + BLOCK_TAIL
        if head.length > self.capacity - self.used:
            return False
        head.interface = interface
        head.time_high = <uint32_t>(time >> 32)
        head.time_low = <uint32_t>time
        head.captured = headers + length
        head.wire = headers + wire
        memcpy(p, &head, BLOCK_HEAD)
        memcpy(ip + headers, payload, length)
        memset(ip + headers + length, 0, padded - headers - length)
        if packet.family == 4:
            ip += write_ipv4(ip, packet, WRITE_UDP + wire)
        else:
            ip += write_ipv6(ip, packet, WRITE_UDP + wire)
        write_udp(ip, packet, WRITE_UDP + wire, length)
        if words:
            self.add_comment(p + BLOCK_HEAD + padded, comment, words, options)
        memcpy(p + head.length - BLOCK_TAIL, &head.length, BLOCK_TAIL)
        self.used += head.length
        self.packets += 1
        return True

    cdef void add_comment(self, uint8_t *p, const char *comment, uint32_t words, uint32_t options) noexcept nogil:
        """As an option, and the end of options."""
        cdef uint16_t[2] head
        memset(p, 0, options)
        head[0] = BLOCK_COMMENT
        head[1] = <uint16_t>words
        memcpy(p, head, BLOCK_OPTION)
        memcpy(p + BLOCK_OPTION, comment, words)

    def put(self, uint32_t interface, int64_t time_ns, tuple source not None, tuple destination not None,
            const uint8_t[::1] payload not None, bytes comment=None, *, uint64_t frame=0, wire_length=None):
        """One datagram between two (family, address, port). False: full, nothing was added; take() first."""
        cdef pcap_packet packet
        cdef uint8_t none = 0
        memset(&packet, 0, sizeof(packet))
        if source[0] != destination[0]:
            raise ValueError("a datagram has two addresses of one family")
        packet.family = source[0]
        packet.source_port = put_address(packet.source, source)
        packet.destination_port = put_address(packet.destination, destination)
        packet.protocol = WRITE_PROTOCOL
        packet.frame = frame
        packet.time_ns = time_ns
        packet.len = <uint32_t>payload.shape[0]
        packet.wire_len = packet.len if wire_length is None else wire_length
        packet.data = &payload[0] if packet.len else &none
        if comment is None:
            return self.add(&packet, packet.data, packet.len, interface, NULL)
        return self.add(&packet, packet.data, packet.len, interface, comment)

    def take(self):
        """The blocks so far; the buffer is empty then."""
        cdef bytes blocks = (<char *>self.buffer)[:self.used]
        self.used = 0
        return blocks
