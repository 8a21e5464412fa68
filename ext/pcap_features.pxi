# What the plaintext tests look at, counted. Random octets are judged by srtpgw/capture/plaintext.py; here they are only
# sorted into histograms, none of which an encrypted stream can bend:
#
#     payload   |<- positions ->|                                 |<------------- tail -------------->|
#               | 0 1 2 3 ...   |            octets, steps        |     octets, steps, tail_same      |
#     SRTP      | ciphertext                                        | MKI |  tag                        |
#     SRTP GCM  | ciphertext                                        |  tag                      | MKI   |
#
# * positions: one histogram for each of the first octets, apart for short and long payloads: events and comfort noise
#   in a stream of speech do not blur it.
# * octets, steps: one histogram of all octets, one of their differences to the octet before.
# * The master key identifier (MKI) does not change, though all around it is random. It stands at a place counted from
#   the end, so each octet of the tail is compared with the one that stood there before, and those that equal it are
#   kept apart (`aside`): of random octets, what is left is as random as the whole.
#
# The first packets are all looked at, later ones now and then, so that a long stream costs little. A packet that was
# captured twice would count as two that agree, so the caller asks features_fresh() with a hash of the whole packet, RTP
# header and all: payloads alone may well be the same, those of silence are.

cdef enum:
    FEATURES_SHORT = 64             # octets: below, a payload is a short one
    FEATURES_SHORT_POSITIONS = 16   # of short payloads
    FEATURES_LONG_POSITIONS = 8
    FEATURES_POSITIONS = FEATURES_SHORT_POSITIONS + FEATURES_LONG_POSITIONS
    FEATURES_TAIL = 144             # octets: the longest MKI (RFC 4568 6.1: 128), a tag of 10, some in front
    FEATURES_OCTETS = 512           # of one packet, from its front
    FEATURES_FIRST = 256            # packets that are all looked at
    FEATURES_EVERY = 16             # then one of so many
    FEATURES_RECENT = 64            # packets that a copy is known of; a power of two
    FEATURES_PACKETS = 65535        # looked at, at most: no 16-bit count overflows
    FEATURES_RTCP_CLEAR = 8         # octets of SRTCP that are never encrypted (RFC 3711 3.4)
    FEATURES_RTCP_TRAILER = 24      # octets of SRTCP left out at its end: index, tag, and an MKI of up to 10

cdef struct features:
    uint64_t packets                # given
    uint64_t rtcp                   # of these, RTCP
    uint64_t rtcp_whole             # of these, with lengths that add up to the end: there is no SRTCP index
    uint64_t recent[FEATURES_RECENT]    # hashes, each at its place
    uint32_t octets[256]
    uint32_t aside[256]             # of octets: those in the tail that were there before
    uint32_t steps[256]             # difference of two neighbours, modulo 256
    uint16_t positions[FEATURES_POSITIONS * 256]
    uint16_t tail_seen[FEATURES_TAIL]   # by distance from the end
    uint16_t tail_same[FEATURES_TAIL]
    uint8_t tail[FEATURES_TAIL]     # of the last payload that reached so far
    uint32_t tail_known
    uint32_t looked                 # packets that were looked at
    uint32_t kinds[2]               # of these, short and long ones
    uint32_t shortest[2]            # octets


cdef inline bint features_fresh(features *self, const uint8_t *packet, uint32_t length, uint64_t hash) noexcept nogil:
    """False for a copy of a recent packet. Its place is by its octets, since the hash is another in every run: sequence
    number of RTP and the end of the tag, so that those in a row are apart. At least 4 octets."""
    cdef uint64_t *place = &self.recent[(packet[3] + packet[length - 1]) & (FEATURES_RECENT - 1)]
    if place[0] == hash:
        return False
    place[0] = hash
    return True


cdef inline void count_positions(features *self, const uint8_t *payload, uint32_t length) noexcept nogil:
    cdef int kind = length >= <uint32_t>FEATURES_SHORT
    cdef uint32_t count = <uint32_t>(FEATURES_LONG_POSITIONS if kind else FEATURES_SHORT_POSITIONS)
    cdef uint16_t *at = self.positions + (FEATURES_SHORT_POSITIONS * 256 if kind else 0)
    cdef uint32_t i
    if self.kinds[kind] == 0 or length < self.shortest[kind]:
        self.shortest[kind] = length
    self.kinds[kind] += 1
    for i in range(min(count, length)):
        at[256 * i + payload[i]] += 1


cdef inline void count_front(features *self, const uint8_t *payload, uint32_t end) noexcept nogil:
    """Octets that no MKI can be among."""
    cdef uint32_t i
    for i in range(end):
        self.octets[payload[i]] += 1
    for i in range(1, end):
        self.steps[<uint8_t>(payload[i] - payload[i - 1])] += 1


cdef inline void count_tail(features *self, const uint8_t *payload, uint32_t start, uint32_t length,
                            uint32_t end) noexcept nogil:
    """Octets from `start`, which are held against the packet before; the last, from `end` on, only that."""
    cdef uint32_t i, distance
    cdef uint8_t octet
    cdef bint same, same_before = False
    for i in range(start, length):
        octet = payload[i]
        distance = length - 1 - i
        same = True
        if distance < self.tail_known:
            same = octet == self.tail[distance]
            self.tail_seen[distance] += 1
            self.tail_same[distance] += same
        if i < end:
            self.octets[octet] += 1
            self.aside[octet] += same
            if i and not (same and same_before):
                self.steps[<uint8_t>(octet - payload[i - 1])] += 1
        self.tail[distance] = octet
        same_before = same
    self.tail_known = max(self.tail_known, length - start)


cdef void features_add(features *self, const uint8_t *payload, uint32_t length) noexcept nogil:
    """A packet's payload: behind the RTP header and extension, as captured, less a tag and MKI that are known."""
    cdef uint32_t end, start
    if length == 0:
        return
    self.packets += 1
    if self.packets > FEATURES_FIRST and self.packets % FEATURES_EVERY or self.looked == <uint32_t>FEATURES_PACKETS:
        return
    self.looked += 1
    end = min(length, <uint32_t>FEATURES_OCTETS)
    start = length - min(length, <uint32_t>FEATURES_TAIL)
    count_positions(self, payload, length)
    count_front(self, payload, min(start, end))
    count_tail(self, payload, start, length, end)


cdef void features_add_rtcp(features *self, const uint8_t *packet, uint32_t length) noexcept nogil:
    """One RTCP or SRTCP packet, whole as captured. Its index counts up and is no payload."""
    self.rtcp += 1
    self.rtcp_whole += rtcp_well_formed(packet, length)
    if length > <uint32_t>(FEATURES_RTCP_CLEAR + FEATURES_RTCP_TRAILER):
        features_add(self, packet + FEATURES_RTCP_CLEAR, length - FEATURES_RTCP_CLEAR - FEATURES_RTCP_TRAILER)


cdef void features_join(features *self, const features *other) noexcept nogil:
    """Add what was counted of another part of the same stream, as far as no 16-bit count overflows."""
    cdef uint32_t i
    self.packets += other.packets
    self.rtcp += other.rtcp
    self.rtcp_whole += other.rtcp_whole
    if other.looked > <uint32_t>FEATURES_PACKETS - self.looked:
        return
    self.looked += other.looked
    for i in range(256):
        self.octets[i] += other.octets[i]
        self.aside[i] += other.aside[i]
        self.steps[i] += other.steps[i]
    for i in range(<uint32_t>(FEATURES_POSITIONS * 256)):
        self.positions[i] += other.positions[i]
    for i in range(<uint32_t>FEATURES_TAIL):
        self.tail_seen[i] += other.tail_seen[i]
        self.tail_same[i] += other.tail_same[i]
    for i in range(2):
        if other.kinds[i] and (self.kinds[i] == 0 or other.shortest[i] < self.shortest[i]):
            self.shortest[i] = other.shortest[i]
        self.kinds[i] += other.kinds[i]


# One histogram in short: what its tests need, worked out here because Python would take longer than the capture.
cdef struct features_digest:
    uint64_t total
    uint64_t squares            # sum of the counts squared
    uint64_t count              # the highest
    uint64_t high_count         # the highest of a value of the upper four bits
    uint64_t low_count
    uint64_t bits               # sum over the bits of (ones - zeros) squared
    uint64_t ones               # of the bit that is least even
    uint8_t octet
    uint8_t high
    uint8_t low
    uint8_t bit                 # 0 is the lowest


cdef void digest_bits(features_digest *digest, const uint32_t *counts) noexcept nogil:
    cdef uint64_t ones
    cdef int64_t lead, widest = -1
    cdef uint32_t bit, i
    for bit in range(8):
        ones = 0
        for i in range(256):
            ones += counts[i] & -(i >> bit & 1)
        lead = 2 * <int64_t>ones - <int64_t>digest.total
        digest.bits += <uint64_t>(lead * lead)
        if lead * lead > widest:
            widest = lead * lead
            digest.ones = ones
            digest.bit = <uint8_t>bit


cdef void digest_counts(features_digest *digest, const uint32_t *counts) noexcept nogil:
    cdef uint64_t high[16]
    cdef uint64_t low[16]
    cdef uint32_t i
    memset(digest, 0, sizeof(features_digest))
    memset(high, 0, sizeof(high))
    memset(low, 0, sizeof(low))
    for i in range(256):
        digest.total += counts[i]
        digest.squares += <uint64_t>counts[i] * counts[i]
        high[i >> 4] += counts[i]
        low[i & 15] += counts[i]
        if counts[i] > digest.count:
            digest.count = counts[i]
            digest.octet = <uint8_t>i
    for i in range(16):
        if high[i] > digest.high_count:
            digest.high_count = high[i]
            digest.high = <uint8_t>i
        if low[i] > digest.low_count:
            digest.low_count = low[i]
            digest.low = <uint8_t>i
    digest_bits(digest, counts)


cdef tuple digest_tuple(const uint32_t *counts):
    """As Digest in srtpgw/capture/plaintext.py."""
    cdef features_digest digest
    digest_counts(&digest, counts)
    return (
        digest.total, digest.squares, digest.octet, digest.count, digest.high, digest.high_count, digest.low,
        digest.low_count, digest.bit, digest.ones, digest.bits,
    )


cdef list position_digests(const features *self, uint32_t first, uint32_t count):
    """Empty where no packet reached: most streams have short payloads alone, or long ones."""
    cdef uint32_t counts[256]
    cdef uint32_t position, i
    digests = []
    if self.kinds[first != 0] == 0:
        return digests
    for position in range(first, first + count):
        for i in range(256):
            counts[i] = self.positions[256 * position + i]
        digests.append(digest_tuple(counts))
    return digests


cdef dict features_dict(const features *self):
    """For judge() of srtpgw/capture/plaintext.py, which says what each is; ``octets`` is as captured."""
    cdef uint32_t judged[256]
    cdef uint32_t i
    for i in range(256):
        judged[i] = self.octets[i] - self.aside[i]
    return {
        "packets": self.packets,
        "looked": self.looked,
        "rtcp": self.rtcp,
        "rtcp_whole": self.rtcp_whole,
        "octets": [self.octets[i] for i in range(256)],
        "judged": digest_tuple(judged),
        "steps": digest_tuple(self.steps),
        "short": (self.kinds[0], self.shortest[0], position_digests(self, 0, FEATURES_SHORT_POSITIONS)),
        "long": (
            self.kinds[1], self.shortest[1],
            position_digests(self, FEATURES_SHORT_POSITIONS, FEATURES_LONG_POSITIONS),
        ),
        "tail_seen": [self.tail_seen[i] for i in range(<uint32_t>FEATURES_TAIL)],
        "tail_same": [self.tail_same[i] for i in range(<uint32_t>FEATURES_TAIL)],
    }


def payload_features(payloads, *, bint rtcp=False):
    """Features of payloads, octets each, or of whole RTCP packets: what the examiner gives of a stream."""
    cdef const uint8_t[::1] view
    cdef features *counted = <features *>calloc(1, sizeof(features))
    if counted == NULL:
        raise MemoryError("no memory for the features of a stream")
    try:
        for view in payloads:
            if view.shape[0] == 0:
                continue
            if rtcp:
                features_add_rtcp(counted, &view[0], <uint32_t>view.shape[0])
            else:
                features_add(counted, &view[0], <uint32_t>view.shape[0])
        return features_dict(counted)
    finally:
        free(counted)
