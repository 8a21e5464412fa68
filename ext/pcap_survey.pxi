# First reading: which streams there are, some packets of each to try keys on, and what signaling says.
#
#     UDP   RTP or RTCP by its header --> stream table; plausible where packets follow each other
#           DTLS handshake, SIP       --> handed out
#     TCP   flows that begin like SIP or TLS, or are at its ports --> handed out
#
# Anything may look like RTP once. A stream of which one packet was seen gives its place to a new one when the table is
# full, so that a file of random datagrams takes no more memory than any other.

cdef enum:
    SURVEY_EARLY = 4            # samples at the beginning of a stream
    SURVEY_SAMPLES = 8          # with those spread over the rest
    SURVEY_STRIDE = 8           # packets between the first spread samples
    SURVEY_TYPES = 8            # payload types counted of one stream
    SURVEY_FLOWS = 65536        # TCP connections known at a time
    SURVEY_SWEEP = 64           # records looked at for one that may go
    FOLLOW_MOST = 64            # numbers that a packet may be ahead of the one before, and in order
    FOLLOW_BACK = 16            # or behind it
    FOLLOW_LEAST = 3            # packets of a plausible stream that follow another
    OTHERS_SHARE = 8            # of a plausible stream at most every eighth packet has a ninth payload type or more
    RTCP_FIRST = RTCP_SR        # packet types in use (RFC 3550 12.1, 4585 6.1, 3611 2)
    RTCP_LAST = RTCP_XR
    FLOW_LOOKS = 4              # segments with payload until a TCP connection is taken to be something else
    SIP_PORT = 5060
    SIPS_PORT = 5061
    SIP_LINE = 2048             # octets: the longest first line
    SIP_METHOD = 32
    SIP_KEEPALIVES = 8          # octets of CR and LF before a message (RFC 5626 3.5.1)
    TCP_FIN = 1
    TCP_RST = 4
    TCP_ACK = 16
    DTLS_RECORD = 13            # octets of a record's header
    DTLS_RECORDS = 16           # of one datagram
    TLS_HANDSHAKE = 22
    TLS_RECORD_MOST = 18432     # octets (RFC 5246 6.2.3)

cdef extern from *:
    """
    #define FOLLOW_TIME (1 << 24) /* clock units between packets that follow: three minutes of 90 kHz */
    #define SURVEY_OCTETS (64u << 20) /* of samples, of all streams */
    """
    int32_t FOLLOW_TIME
    uint64_t SURVEY_OCTETS

cdef enum survey_signal:
    SIGNAL_NONE
    SIGNAL_SIP
    SIGNAL_TCP
    SIGNAL_DTLS

cdef tuple SIGNAL_NAMES = ("", "sip", "tcp", "dtls")

cdef enum flow_state:
    FLOW_UNDECIDED
    FLOW_WANTED
    FLOW_IGNORED

cdef struct survey_sample:
    uint8_t *octets
    uint32_t len
    uint32_t room

cdef struct survey_stream:
    uint64_t first_frame
    uint64_t last_frame
    uint64_t packets
    uint64_t following          # RTP: packets that follow the one before; RTCP: packets of a type in use
    uint64_t repeated           # the same sequence number again
    uint64_t due                # packets until the next sample
    uint64_t stride
    uint64_t[SURVEY_TYPES] type_packets
    uint64_t other_types
    uint8_t[SURVEY_TYPES] types
    uint32_t type_count
    uint32_t timestamp
    uint16_t sequence
    uint8_t early
    uint8_t late
    survey_sample[SURVEY_SAMPLES] samples

cdef struct survey_flow:
    uint8_t state
    uint8_t looks


cdef bint looks_like_request(const uint8_t *p, uint32_t length) noexcept nogil:
    """METHOD SP URI SP SIP/2.0; of a line that is cut short, METHOD SP sip: will do (RFC 3261 7.1)."""
    cdef uint32_t at = 0, end
    while at < length and at < SIP_METHOD and c"A" <= p[at] <= c"Z":
        at += 1
    if at == 0 or at + 5 > length or p[at] != c" ":
        return False
    if memcmp(p + at + 1, b"sip:", 4) == 0 or memcmp(p + at + 1, b"sips", 4) == 0:
        return True
    end = at
    while end < length and end < SIP_LINE and p[end] != c"\r" and p[end] != c"\n":
        end += 1
    return end >= at + 8 and memcmp(p + end - 8, b" SIP/2.0", 8) == 0


cdef bint looks_like_sip(const uint8_t *p, uint32_t length) noexcept nogil:
    cdef uint32_t at = 0
    while at < length and at < SIP_KEEPALIVES and (p[at] == c"\r" or p[at] == c"\n"):
        at += 1
    if length - at >= 8 and memcmp(p + at, b"SIP/2.0 ", 8) == 0:
        return True
    return looks_like_request(p + at, length - at)


cdef bint looks_like_hello(const uint8_t *p, uint32_t length) noexcept nogil:
    """A record with ClientHello or ServerHello (RFC 8446 5.1)."""
    if length < 6 or p[0] != TLS_HANDSHAKE or p[1] != 3 or p[2] > 4:
        return False
    return 4 <= load16(p + 3) <= TLS_RECORD_MOST and 1 <= p[5] <= 2


cdef bint has_dtls_handshake(const uint8_t *p, uint32_t length) noexcept nogil:
    """Whether a record of the datagram is of a handshake (RFC 6347 4.1)."""
    cdef uint32_t at = 0
    cdef int i
    for i in range(DTLS_RECORDS):
        if length - at < DTLS_RECORD or p[at + 1] != 0xFE:
            return False
        if p[at] == TLS_HANDSHAKE:
            return True
        at += DTLS_RECORD + <uint32_t>load16(p + at + 11)
        if at >= length:
            return False
    return False


cdef class Survey:
    """Reads a capture's packets for its streams and signaling. `stream_limit`: streams known at a time."""
    cdef StreamTable table
    cdef survey_stream *records
    cdef uint32_t hand          # where to look for a stream that may go
    cdef StreamTable flow_table
    cdef survey_flow *flows
    cdef uint32_t flow_hand
    cdef uint64_t held          # octets of samples
    cdef uint64_t evicted       # streams of one packet that gave their place away
    cdef uint64_t refused       # packets of streams for which there was no place
    cdef uint64_t flows_refused
    cdef uint64_t unsampled     # samples that were not kept, for want of room

    def __cinit__(self, *, uint32_t stream_limit=65536):
        self.table = StreamTable(stream_limit)
        self.flow_table = StreamTable(SURVEY_FLOWS)
        self.records = <survey_stream *>calloc(stream_limit, sizeof(survey_stream))
        self.flows = <survey_flow *>calloc(SURVEY_FLOWS, sizeof(survey_flow))
        if self.records == NULL or self.flows == NULL:
            raise MemoryError("no memory for the streams of a capture")

    def __dealloc__(self):
        cdef uint32_t number
        cdef int i
        if self.records != NULL:
            for number in range(self.table.count):
                for i in range(SURVEY_SAMPLES):
                    free(self.records[number].samples[i].octets)
        free(self.records)
        free(self.flows)

    # --- media

    cdef void keep(self, survey_sample *sample, const pcap_packet *packet, bint first) noexcept nogil:
        """Keep a packet, in the place of the one before. A stream's first packet may be its only one: half of the room
        is not for those."""
        cdef uint64_t most = SURVEY_OCTETS // 2 if first else SURVEY_OCTETS
        cdef uint8_t *grown
        sample.len = 0
        if packet.len > sample.room:
            if self.held + packet.len - sample.room > most:
                self.unsampled += 1
                return
            grown = <uint8_t *>realloc(sample.octets, packet.len)
            if grown == NULL:
                self.unsampled += 1
                return
            self.held += packet.len - sample.room
            sample.octets = grown
            sample.room = packet.len
        memcpy(sample.octets, packet.data, packet.len)
        sample.len = packet.len

    cdef void sample(self, survey_stream *stream, const pcap_packet *packet) noexcept nogil:
        """The first whole packets, then one in so many. When there is no place, every other of these goes, and twice as
        many packets are passed over from then on."""
        cdef survey_sample swap
        cdef uint32_t i
        if packet.len != packet.wire_len or stream.packets < stream.due:
            return
        if stream.early < SURVEY_EARLY:
            self.keep(&stream.samples[stream.early], packet, stream.early == 0)
            stream.early += 1
            stream.stride = SURVEY_STRIDE
        else:
            if stream.late == SURVEY_SAMPLES - SURVEY_EARLY:
                stream.stride *= 2
                stream.late //= 2
                for i in range(SURVEY_EARLY, SURVEY_EARLY + <uint32_t>stream.late):
                    swap = stream.samples[i]
                    stream.samples[i] = stream.samples[2 * i - SURVEY_EARLY + 1]
                    stream.samples[2 * i - SURVEY_EARLY + 1] = swap
            self.keep(&stream.samples[SURVEY_EARLY + stream.late], packet, False)
            stream.late += 1
        if stream.early == SURVEY_EARLY:
            stream.due = stream.packets + stream.stride

    cdef void count_type(self, survey_stream *stream, uint8_t type) noexcept nogil:
        cdef uint32_t i
        for i in range(stream.type_count):
            if stream.types[i] == type:
                stream.type_packets[i] += 1
                return
        if stream.type_count == SURVEY_TYPES:
            stream.other_types += 1
            return
        stream.types[stream.type_count] = type
        stream.type_packets[stream.type_count] = 1
        stream.type_count += 1

    cdef void follow(self, survey_stream *stream, const uint8_t *p) noexcept nogil:
        """Does an RTP packet follow the one before?"""
        cdef uint32_t timestamp = load32(p + 4)
        cdef int16_t ahead = <int16_t>(rtp_sequence(p) - stream.sequence)
        cdef int32_t later = <int32_t>(timestamp - stream.timestamp)
        cdef bint near = -FOLLOW_BACK <= ahead <= FOLLOW_MOST and -FOLLOW_TIME < later < FOLLOW_TIME
        if stream.packets > 0:
            if ahead == 0:
                stream.repeated += 1
            elif near:
                stream.following += 1
        if stream.packets == 0 or ahead > 0 or not near:
            stream.sequence = rtp_sequence(p)
            stream.timestamp = timestamp

    cdef int64_t replace(self, const stream_key *key) noexcept nogil:
        """The number of a stream of one packet, which gives its place to this one; -1 where none is near."""
        cdef survey_stream *stream
        cdef uint32_t number
        cdef int i
        for i in range(SURVEY_SWEEP):
            number = self.hand
            self.hand = self.hand + 1 if self.hand + 1 < self.table.count else 0
            stream = &self.records[number]
            if stream.packets <= 1:
                self.evicted += 1
                self.table.rename(number, key)
                memset(stream, 0, sizeof(survey_stream) - sizeof(stream.samples))  # samples are last: room is kept
                for i in range(SURVEY_SAMPLES):
                    stream.samples[i].len = 0
                return number
        return -1

    cdef void media(self, const pcap_packet *packet, const stream_key *key) noexcept nogil:
        cdef int64_t number = self.table.find(key)
        cdef survey_stream *stream
        if number < 0:
            number = self.table.add(key)
            if number < 0:
                number = self.replace(key)
            if number < 0:
                self.refused += 1
                return
            self.records[number].first_frame = packet.frame
        stream = &self.records[number]
        if key.rtcp:
            self.count_type(stream, packet.data[1])
            stream.following += RTCP_FIRST <= packet.data[1] <= RTCP_LAST
        else:
            self.count_type(stream, packet.data[1] & 0x7F)
            self.follow(stream, packet.data)
        self.sample(stream, packet)
        stream.last_frame = packet.frame
        stream.packets += 1

    # --- signaling

    cdef int64_t take_flow(self, const stream_key *key) noexcept nogil:
        """A place for a TCP connection; -1 where all near are wanted."""
        cdef int64_t number = self.flow_table.add(key)
        cdef int i
        for i in range(SURVEY_SWEEP):
            if number >= 0:
                break
            self.flow_hand = (self.flow_hand + 1) % SURVEY_FLOWS
            if self.flows[self.flow_hand].state != FLOW_WANTED:
                number = self.flow_hand
                self.flow_table.rename(self.flow_hand, key)
        if number >= 0:
            memset(&self.flows[number], 0, sizeof(survey_flow))
        return number

    cdef bint segment(self, const pcap_packet *packet) noexcept nogil:
        """Whether a TCP segment is of a connection that may carry SIP."""
        cdef bint sip_port = is_sip_port(packet.source_port) or is_sip_port(packet.destination_port)
        cdef stream_key key
        cdef survey_flow *flow
        cdef int64_t number
        if packet.len == 0 and not packet.tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST):
            return False
        flow_key(packet, &key)
        number = self.flow_table.find(&key)
        if number < 0:
            if packet.len == 0:
                return sip_port
            number = self.take_flow(&key)
            if number < 0:
                self.flows_refused += 1
                return sip_port
        flow = &self.flows[number]
        if packet.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN:
            memset(flow, 0, sizeof(survey_flow))  # the same ports again: another connection
        if flow.state == FLOW_UNDECIDED and packet.len:
            if sip_port or looks_like_sip(packet.data, packet.len) or looks_like_hello(packet.data, packet.len):
                flow.state = FLOW_WANTED
            else:
                flow.looks += 1
                if flow.looks == FLOW_LOOKS:
                    flow.state = FLOW_IGNORED
        return flow.state == FLOW_WANTED or (sip_port and flow.state == FLOW_UNDECIDED)

    cdef survey_signal datagram(self, const pcap_packet *packet) noexcept nogil:
        cdef stream_key key
        cdef packet_kind kind
        if media_key(packet, &key):
            self.media(packet, &key)
            return SIGNAL_NONE
        kind = classify(packet.data, packet.len)
        if kind == KIND_DTLS:
            return SIGNAL_DTLS if has_dtls_handshake(packet.data, packet.len) else SIGNAL_NONE
        if kind == KIND_OTHER and looks_like_sip(packet.data, packet.len):
            return SIGNAL_SIP
        return SIGNAL_NONE

    cdef survey_signal next_signal(self, CaptureReader reader, pcap_packet *packet) noexcept nogil:
        """Read on to the next packet that Python has to see; SIGNAL_NONE where the octets end."""
        cdef survey_signal signal
        while reader.next(packet):
            if packet.protocol == PROTOCOL_UDP:
                signal = self.datagram(packet)
            else:
                signal = SIGNAL_TCP if packet.protocol == PROTOCOL_TCP and self.segment(packet) else SIGNAL_NONE
            if signal != SIGNAL_NONE:
                return signal
        return SIGNAL_NONE

    # --- for Python

    def run(self, CaptureReader reader not None):
        """Take all packets that are complete. Signaling among them, in order: (kind, frame, time_ns, interface, family,
        source, source_port, destination, destination_port, payload, tcp_sequence, tcp_flags); kind is "sip" (a
        datagram), "tcp" (a segment of a connection that may carry SIP or TLS), or "dtls" (a datagram with a handshake
        record)."""
        cdef pcap_packet packet
        cdef survey_signal signal
        cdef list found = []
        while True:
            with nogil:
                signal = self.next_signal(reader, &packet)
            if signal == SIGNAL_NONE:
                return found
            octets = IPV4_OCTETS if packet.family == 4 else IPV6_OCTETS
            found.append((
                SIGNAL_NAMES[<int>signal], packet.frame, packet.time_ns, packet.interface, packet.family,
                (<const char *>packet.source)[:octets], packet.source_port,
                (<const char *>packet.destination)[:octets], packet.destination_port,
                (<const char *>packet.data)[:packet.len], packet.tcp_sequence, packet.tcp_flags,
            ))

    def ignore(self, int family, bytes source not None, uint16_t source_port, bytes destination not None,
               uint16_t destination_port):
        """Hand out no more of a TCP connection, until it begins anew."""
        cdef pcap_packet packet
        cdef stream_key key
        cdef int64_t number
        memset(&packet, 0, sizeof(packet))
        packet.family = family
        packet.source_port = source_port
        packet.destination_port = destination_port
        take_address(packet.source, source, family)
        take_address(packet.destination, destination, family)
        flow_key(&packet, &key)
        number = self.flow_table.find(&key)
        if number < 0:
            number = self.take_flow(&key)
        if number >= 0:
            self.flows[number].state = FLOW_IGNORED

    cdef bint plausible(self, const survey_stream *stream) noexcept nogil:
        """Whether RTP packets follow each other as those of a source do."""
        if stream.following < FOLLOW_LEAST or stream.other_types * OTHERS_SHARE > stream.packets:
            return False
        return 2 * stream.following >= stream.packets - 1 - stream.repeated

    def streams(self):
        """Whatever looks like a stream, in the order of first packets, each a dict: key (StreamKey), first_frame,
        last_frame, packets, plausible (it is media even if no signaling tells of it), payload_types {type: packets}
        (RTCP: packet types), samples (whole packets in the order of time: up to 4 from the start and 4 from the
        rest)."""
        cdef const survey_stream *stream
        cdef uint32_t number, i
        cdef list found = []
        cdef set sources = set()
        for number in range(self.table.count):
            if not self.table.keys[number].rtcp and self.plausible(&self.records[number]):
                sources.add(self.table.keys[number].ssrc)
        for number in range(self.table.count):
            stream = &self.records[number]
            if self.table.keys[number].rtcp:
                plausible = stream.following == stream.packets and (
                    stream.packets > 1 or self.table.keys[number].ssrc in sources
                )
            else:
                plausible = bool(self.plausible(stream))
            found.append({
                "key": stream_key_tuple(&self.table.keys[number]),
                "first_frame": stream.first_frame,
                "last_frame": stream.last_frame,
                "packets": stream.packets,
                "plausible": plausible,
                "payload_types": {stream.types[i]: stream.type_packets[i] for i in range(stream.type_count)},
                "samples": sample_octets(stream),
            })
        found.sort(key=first_frame_of)
        return found

    def counters(self):
        """What was passed over because a table was full, or the room for samples."""
        return {
            "streams-evicted": self.evicted,
            "packets-without-stream": self.refused,
            "tcp-connections-refused": self.flows_refused,
            "samples-without-room": self.unsampled,
        }


cdef inline bint is_sip_port(uint16_t port) noexcept nogil:
    return port == SIP_PORT or port == SIPS_PORT


cdef inline void flow_key(const pcap_packet *packet, stream_key *key) noexcept nogil:
    """The same for both directions of a TCP connection, on every interface."""
    cdef stream_key other
    addresses_key(packet, key)
    other = key[0]
    memcpy(other.source, key.destination, 16)
    memcpy(other.destination, key.source, 16)
    other.source_port = key.destination_port
    other.destination_port = key.source_port
    if memcmp(&other, key, sizeof(stream_key)) < 0:
        key[0] = other


cdef list sample_octets(const survey_stream *stream):
    cdef int i, early = stream.early, end = SURVEY_EARLY + stream.late
    cdef list found = []
    for i in range(SURVEY_SAMPLES):
        if (i < early or SURVEY_EARLY <= i < end) and stream.samples[i].len:
            found.append((<const char *>stream.samples[i].octets)[:stream.samples[i].len])
    return found


def first_frame_of(dict stream not None):
    return stream["first_frame"]
