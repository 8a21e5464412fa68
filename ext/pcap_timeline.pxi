# A stream over time: how regularly its packets came, and what happened when.

cdef enum:
    TIMELINE_BINS = 120
    CLOCK_RATE_MAX = 1 << 24        # Hz

cdef extern from *:
    """
    #define TIMELINE_FIRST_NS INT64_C(10000000)          /* width of a bin at first */
    #define TIMELINE_WIDEST_NS (INT64_C(1) << 55)
    #define JITTER_JUMP_NS UINT64_C(10000000000)         /* a source that set its clock, and no jitter */
    """
    int64_t TIMELINE_FIRST_NS
    int64_t TIMELINE_WIDEST_NS
    uint64_t JITTER_JUMP_NS

cdef struct timeline_bin:
    uint32_t packets
    uint32_t lost
    uint32_t authenticated
    uint32_t failed
    uint32_t wraps

# Its length is not known before its end: when the last bin is passed, two become one.
cdef struct timeline:
    int64_t start_ns
    int64_t width_ns
    int64_t at_ns                   # start of the bin that was used last
    uint32_t at
    timeline_bin[TIMELINE_BINS] bins


cdef inline void timeline_start(timeline *self, int64_t time_ns) noexcept nogil:
    self.start_ns = self.at_ns = time_ns
    self.width_ns = TIMELINE_FIRST_NS


cdef void timeline_halve(timeline *self) noexcept nogil:
    cdef timeline_bin *first
    cdef timeline_bin *second
    cdef int i
    for i in range(TIMELINE_BINS // 2):
        first = &self.bins[2 * i]
        second = &self.bins[2 * i + 1]
        self.bins[i].packets = first.packets + second.packets
        self.bins[i].lost = first.lost + second.lost
        self.bins[i].authenticated = first.authenticated + second.authenticated
        self.bins[i].failed = first.failed + second.failed
        self.bins[i].wraps = first.wraps + second.wraps
    memset(&self.bins[TIMELINE_BINS // 2], 0, (TIMELINE_BINS // 2) * sizeof(timeline_bin))
    self.width_ns *= 2


cdef timeline_bin *timeline_seek(timeline *self, int64_t time_ns) noexcept nogil:
    """The bin of another time; what is from before the start counts in the first."""
    cdef uint64_t since = 0
    if time_ns > self.start_ns:
        since = <uint64_t>time_ns - <uint64_t>self.start_ns
    while since // TIMELINE_BINS >= <uint64_t>self.width_ns and self.width_ns < TIMELINE_WIDEST_NS:
        timeline_halve(self)
    self.at = <uint32_t>min(since // <uint64_t>self.width_ns, <uint64_t>TIMELINE_BINS - 1)
    self.at_ns = <int64_t>(<uint64_t>self.start_ns + self.at * <uint64_t>self.width_ns)
    return &self.bins[self.at]


cdef inline timeline_bin *timeline_at(timeline *self, int64_t time_ns) noexcept nogil:
    if <uint64_t>time_ns - <uint64_t>self.at_ns < <uint64_t>self.width_ns:
        return &self.bins[self.at]
    return timeline_seek(self, time_ns)


cdef void timeline_found(timeline *self) noexcept nogil:
    """A packet that was counted as lost came late: take it back where it was counted last."""
    cdef uint32_t at = self.at + 1
    while at:
        at -= 1
        if self.bins[at].lost:
            self.bins[at].lost -= 1
            return


cdef list timeline_rows(const timeline *self):
    """[(start in ns since 1970, packets, lost, authenticated, failed, wraps)], up to the last bin that was used."""
    cdef const timeline_bin *b
    rows = []
    for i in range(TIMELINE_BINS):
        b = &self.bins[i]
        rows.append((self.start_ns + i * self.width_ns, b.packets, b.lost, b.authenticated, b.failed, b.wraps))
    used = max((i for i, row in enumerate(rows, 1) if any(row[1:])), default=0)
    return rows[:used]


# Interarrival jitter (RFC 3550 6.4.1, A.8), in 1/16 ns instead of timestamp units.
cdef struct jitter:
    int64_t arrival_ns
    uint32_t timestamp
    uint32_t rate                   # Hz, of the packet before; 0: there was none to compare with
    uint64_t value
    uint64_t most
    uint64_t sum_ns
    uint64_t count


cdef inline void jitter_take(jitter *self, int64_t arrival_ns, uint32_t timestamp, uint32_t rate) noexcept nogil:
    """`rate`: clock rate of the packet's payload type, 0 where it is not known."""
    cdef int64_t media_ns, change
    cdef uint64_t distance
    if rate and rate == self.rate:
        media_ns = <int64_t><int32_t>(timestamp - self.timestamp) * 1000000000 // <int64_t>rate
        change = <int64_t>(<uint64_t>arrival_ns - <uint64_t>self.arrival_ns - <uint64_t>media_ns)
        distance = <uint64_t>change if change >= 0 else 0 - <uint64_t>change
        if distance < JITTER_JUMP_NS:
            self.value += distance - ((self.value + 8) >> 4)
            self.most = max(self.most, self.value)
            self.sum_ns += self.value >> 4
            self.count += 1
    self.arrival_ns = arrival_ns
    self.timestamp = timestamp
    self.rate = rate
