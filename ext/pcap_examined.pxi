# What the second reading knows of a stream and of a packet at hand, and what it takes to count them.

cdef enum:
    EXAMINE_BATCH = 64
    EXAMINE_PACKET_MAX = 65535
    EXAMINE_EDGE = 64               # octets kept free before and behind a packet: SRTP_TAIL_ROOM, and masked loads
    EXAMINE_SLOT_MAX = EXAMINE_PACKET_MAX + 3 * EXAMINE_EDGE
    EXAMINE_ROOM = 512 * 1024       # octets: the packets of a batch
    EXAMINE_STREAMS = 65536
    EXAMINE_TYPES = 8               # payload types of a stream that are told apart
    EXAMINE_NOTES = 8               # frames told of a kind of event
    TIMELINE_LEAST = 8              # packets of a stream that gets one
    FEATURES_LEAST = 20             # packets of RTP: below there is no verdict by plaintext tests
    EXAMINE_STRETCHES = 5           # parts of a stream without a key that are tested each: plaintext in between shows
    EXAMINE_HASH_LANES = 4
    EXAMINE_STREAM_LINES = 5        # of its record, which each packet touches

cdef extern from *:
    """
    #define EXAMINE_TEST_OCTETS ((size_t)1 << 29)       /* for what the plaintext tests need of all streams */
    #define EXAMINE_HASH_STEP UINT64_C(0x9E3779B97F4A7C15)
    """
    size_t EXAMINE_TEST_OCTETS
    uint64_t EXAMINE_HASH_STEP

cdef enum examine_note:
    NOTE_FAILED                     # authentic under no known key
    NOTE_REPLAY
    NOTE_CONFLICT                   # the number of another packet
    NOTE_RESTART
    NOTE_CLEAR                      # SRTCP with E at zero, RTCP without a key whose lengths add up
    NOTE_COUNT

cdef enum examine_state:
    EXAMINE_NO_KEY
    EXAMINE_TRUNCATED
    EXAMINE_UNFIT                   # cannot be a packet under the line that was expected
    EXAMINE_TRIED

cdef enum examine_outcome:
    OUTCOME_AUTHENTIC
    OUTCOME_FAILED
    OUTCOME_NO_KEY
    OUTCOME_TRUNCATED

cdef struct type_count:
    uint32_t packets
    uint32_t rate                   # Hz, 0: not known
    uint8_t type
    uint8_t taken

# A part of a stream, for the plaintext tests.
cdef struct tested:
    features *counted               # NULL: none yet, too few packets, or no room
    uint64_t first_frame            # 0: no packet yet
    uint64_t last_frame

cdef struct examined_stream:
    uint64_t packets
    uint64_t octets
    uint64_t authenticated
    uint64_t last_frame
    int64_t last_ns
    uint32_t first_line             # in the table of lines
    uint8_t line_count
    uint8_t line                    # of them, the one that the next packet is expected under
    uint8_t rtcp
    uint8_t plain                   # with a writer: what has no key is written as it is
    uint8_t allowance               # see pcap_index.pxi
    uint8_t has_roc
    uint8_t rewound
    int64_t interface               # to write to; negative: the packet's own
    int64_t undecrypted             # the same for what cannot be decrypted
    sequence numbers
    jitter delay
    type_count[EXAMINE_TYPES] types
    timeline *times                 # NULL: too few packets
    tested content                  # authentic packets
    tested rest                     # those that failed
    tested stretches[EXAMINE_STRETCHES]     # without a key
    uint64_t expected               # packets that the first reading counted
    uint64_t failed
    uint64_t truncated
    uint64_t encrypted
    uint64_t clear                  # authentic SRTCP with E at zero
    uint64_t whole                  # RTCP whose lengths add up to its end: SRTCP's do not
    uint64_t first_frame
    int64_t first_ns
    uint32_t other_types            # packets of further payload types
    uint32_t wraps
    uint32_t roc_first
    uint32_t roc_last
    uint32_t ssrc
    uint8_t[NOTE_COUNT] noted
    uint64_t notes[NOTE_COUNT][EXAMINE_NOTES]

cdef struct examined_packet:
    pcap_packet packet              # its data in the room, as captured
    uint8_t *work                   # what the kernels work on: the same octets, or with a writer a copy
    uint64_t index
    uint64_t hash
    uint32_t stream
    uint32_t line
    uint8_t state
    uint8_t outcome


cdef inline uint64_t load64_native(const uint8_t *p) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, p, 8)
    return v


cdef uint64_t octets_hash(const uint8_t *p, uint32_t length, uint64_t seed) noexcept nogil:
    """Tells packets of a file apart; the seed is random, so none is made to look like another."""
    cdef uint64_t[EXAMINE_HASH_LANES] lane
    cdef uint8_t[8 * EXAMINE_HASH_LANES] last
    cdef uint32_t at = 0
    cdef int i
    for i in range(EXAMINE_HASH_LANES):
        lane[i] = seed + <uint64_t>i * EXAMINE_HASH_STEP
    while at + 8 * EXAMINE_HASH_LANES <= length:
        for i in range(EXAMINE_HASH_LANES):
            lane[i] = (lane[i] ^ load64_native(p + at + 8 * i)) * EXAMINE_HASH_STEP
            lane[i] ^= lane[i] >> 29
        at += 8 * EXAMINE_HASH_LANES
    memset(last, 0, sizeof(last))
    memcpy(last, p + at, length - at)
    for i in range(EXAMINE_HASH_LANES):
        lane[i] = mix64(lane[i] ^ load64_native(last + 8 * i))
    return mix64(lane[0] + 3 * lane[1] + 5 * lane[2] + 7 * lane[3] + length)


cdef inline void note_frame(examined_stream *s, uint32_t kind, uint64_t frame) noexcept nogil:
    if s.noted[kind] < EXAMINE_NOTES:
        s.notes[kind][s.noted[kind]] = frame
        s.noted[kind] += 1


cdef inline uint32_t count_type(examined_stream *s, uint8_t type) noexcept nogil:
    """Count a packet of a payload type. Returns its clock rate, or 0."""
    cdef int i
    for i in range(EXAMINE_TYPES):
        if not s.types[i].taken:
            s.types[i].taken = 1
            s.types[i].type = type
        if s.types[i].type == type:
            s.types[i].packets += 1
            return s.types[i].rate
    s.other_types += 1
    return 0


cdef inline bint is_tested(const examined_stream *s) noexcept nogil:
    """Whether the plaintext tests can say anything of it. RTCP in clear shows by its lengths, in one packet."""
    return s.rtcp or s.expected >= FEATURES_LEAST


cdef inline void test_packet(features *counted, const examined_stream *s, const examined_packet *p,
                             uint32_t end) noexcept nogil:
    """The payload up to `end`, as captured."""
    cdef uint32_t start
    if not features_fresh(counted, p.packet.data, p.packet.len, p.hash):
        return
    if not s.rtcp:
        start = rtp_header_length(p.packet.data, end)
        if start:
            features_add(counted, p.packet.data + start, end - start)
    elif p.outcome == OUTCOME_AUTHENTIC:
        features_add(counted, p.packet.data + RTCP_HEADER, end - RTCP_HEADER)
    else:
        features_add_rtcp(counted, p.packet.data, end)
