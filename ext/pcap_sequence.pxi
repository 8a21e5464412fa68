# The numbers of a stream's packets, in the order in which they were captured: what was lost, came late, came twice,
# came again later, and whether one number carried different octets.
#
# A number is the SRTP or SRTCP index where the packet is authentic; without a key the sequence number, extended as the
# index is (RFC 3711 3.3.1, RFC 3550 A.1). The ring holds a hash and the time of each of the last ones:
#
#        behind the ring           in the ring: hash 0 is a hole             ahead
#   ... ------------------|------------------------------------ newest |------------------ ...
#     another line of numbers?    late, or twice, or used twice          lost in between

cdef enum:
    RING_LEAST = 64                 # packets
    RING_MOST = 1024                # 20 s of speech in packets of 20 ms
    REPLAY_DISTANCE = 64            # packets: the same one again is a replay from there on, and not the network's copy
    REPLAY_AFTER_MS = 1000          # or after this time
    RESTART_RUN = 4                 # packets in a row that begin another line of numbers
    SEQUENCE_DROPOUT = 3000         # RFC 3550 A.1: numbers without a proof do not jump farther ahead
    SEQUENCE_FIRST = 1 << 16        # added to the first number without a proof: packets may come from before it

cdef enum sequence_event:
    SEQUENCE_NEWEST                 # ahead of all
    SEQUENCE_LATE                   # into a hole
    SEQUENCE_TWICE
    SEQUENCE_REPLAY
    SEQUENCE_CONFLICT               # the number of another packet
    SEQUENCE_STRAY                  # on no line of numbers that is known yet
    SEQUENCE_RESTART                # the first packet, or another line of numbers is the stream's now

cdef struct ring_slot:
    uint32_t hash                   # of the packet, 0: none
    uint32_t time_ms

cdef struct sequence:
    ring_slot *ring                 # NULL: none, nothing is known of packets that come twice
    uint64_t newest
    uint64_t base                   # the lowest of this line of numbers
    uint64_t other_next             # what would go on with another line
    uint64_t lost
    uint32_t reordered
    uint32_t duplicates
    uint32_t replays
    uint32_t conflicts
    uint32_t restarts
    uint32_t gap_max                # packets in the largest gap
    uint32_t unproved               # packets since the newest that failed: they may be what is missing
    uint16_t ring_mask
    uint8_t other_run
    uint8_t started
    uint8_t proved                  # numbers are authentic


cdef inline uint32_t ring_size_for(uint64_t packets) noexcept nogil:
    """A power of two."""
    cdef uint32_t size = RING_LEAST
    while size < packets and size < RING_MOST:
        size <<= 1
    return size


cdef inline void ring_set(sequence *self, uint64_t number, uint32_t hash, uint32_t time_ms) noexcept nogil:
    cdef ring_slot *slot
    if self.ring != NULL:
        slot = &self.ring[number & self.ring_mask]
        slot.hash = hash
        slot.time_ms = time_ms


cdef void ring_open(sequence *self, uint64_t number) noexcept nogil:
    """Make holes of the places between the newest and `number`."""
    cdef uint64_t passed = number - self.newest, at
    if self.ring == NULL:
        return
    if passed > self.ring_mask:
        memset(self.ring, 0, (<size_t>self.ring_mask + 1) * sizeof(ring_slot))
        return
    for at in range(self.newest + 1, number):
        self.ring[at & self.ring_mask].hash = 0


cdef void sequence_begin(sequence *self, uint64_t number, uint32_t hash, uint32_t time_ms) noexcept nogil:
    """A line of numbers begins."""
    if self.ring != NULL:
        memset(self.ring, 0, (<size_t>self.ring_mask + 1) * sizeof(ring_slot))
    self.restarts += self.started
    self.started = 1
    self.newest = self.base = number
    self.unproved = 0
    self.other_run = 0
    ring_set(self, number, hash, time_ms)


cdef uint64_t sequence_ahead(sequence *self, uint64_t number) noexcept nogil:
    """Move the newest there. Returns how many packets are missing in between."""
    cdef uint64_t missing = number - self.newest - 1
    if missing:
        ring_open(self, number)
        missing -= min(missing, <uint64_t>self.unproved)
        self.lost += missing
        self.gap_max = <uint32_t>max(<uint64_t>self.gap_max, min(missing, <uint64_t>0xFFFFFFFF))
    self.newest = number
    self.unproved = 0
    return missing


cdef sequence_event sequence_elsewhere(sequence *self, uint64_t number, uint32_t hash,
                                       uint32_t time_ms) noexcept nogil:
    """Behind the ring, or too far ahead to be believed: a replay, or a source that began anew. The second goes on."""
    cdef bint behind = number <= self.newest
    self.other_run = self.other_run + 1 if self.other_run and number == self.other_next else 1
    self.other_next = number + 1
    if self.other_run >= RESTART_RUN:
        if behind and self.proved:
            self.replays -= RESTART_RUN - 1
        elif behind:
            self.reordered -= RESTART_RUN - 1
        sequence_begin(self, number, hash, time_ms)
        self.base = number - (RESTART_RUN - 1)
        return SEQUENCE_RESTART
    if behind and self.proved:
        self.replays += 1
        return SEQUENCE_REPLAY
    self.reordered += behind
    return SEQUENCE_STRAY


cdef sequence_event sequence_again(sequence *self, ring_slot *slot, uint64_t number, uint32_t hash,
                                   uint32_t time_ms) noexcept nogil:
    """A number that was there before."""
    if slot.hash != hash:
        self.conflicts += 1
        return SEQUENCE_CONFLICT
    if self.newest - number > REPLAY_DISTANCE or <uint32_t>(time_ms - slot.time_ms) > REPLAY_AFTER_MS:
        self.replays += 1
        return SEQUENCE_REPLAY
    self.duplicates += 1
    return SEQUENCE_TWICE


cdef sequence_event sequence_inside(sequence *self, uint64_t number, uint32_t hash, uint32_t time_ms) noexcept nogil:
    """Not ahead of the newest, and not behind the ring."""
    cdef ring_slot *slot = &self.ring[number & self.ring_mask]
    if slot.hash:
        return sequence_again(self, slot, number, hash, time_ms)
    ring_set(self, number, hash, time_ms)
    self.reordered += 1
    if number < self.base:
        self.base = number
    elif self.lost:
        self.lost -= 1
    return SEQUENCE_LATE


cdef inline bint is_taken(const sequence *self, uint64_t number, uint32_t hash) noexcept nogil:
    """Whether a number within the ring was another packet's."""
    cdef uint32_t there = self.ring[number & self.ring_mask].hash
    return number <= self.newest and there != 0 and there != hash


cdef sequence_event sequence_take(sequence *self, uint64_t number, uint64_t octets_hash, int64_t time_ns,
                                  bint fresh_key, uint64_t *missing) noexcept nogil:
    """Count a packet. `fresh_key`: the first under another key. `missing`: packets lost just before it."""
    cdef uint32_t hash = <uint32_t>(octets_hash >> 32) | 1
    cdef uint32_t time_ms = <uint32_t>(<uint64_t>time_ns // 1000000)
    cdef bint ahead = self.started and number > self.newest
    cdef bint far = ahead and number - self.newest > SEQUENCE_DROPOUT
    missing[0] = 0
    if not self.started:
        sequence_begin(self, number, hash, time_ms)
        return SEQUENCE_RESTART
    if (not ahead and self.newest - number > self.ring_mask) or (far and (fresh_key or not self.proved)):
        if fresh_key:  # a source under a fresh key may count from anywhere
            sequence_begin(self, number, hash, time_ms)
            return SEQUENCE_RESTART
        return sequence_elsewhere(self, number, hash, time_ms)
    self.other_run = 0
    if fresh_key and is_taken(self, number, hash):  # it began anew, and near where the old key left off
        sequence_begin(self, number, hash, time_ms)
        return SEQUENCE_RESTART
    if ahead:
        missing[0] = sequence_ahead(self, number)
        ring_set(self, number, hash, time_ms)
        return SEQUENCE_NEWEST
    return sequence_inside(self, number, hash, time_ms)


cdef inline uint64_t sequence_extend(const sequence *self, uint16_t number) noexcept nogil:
    """The number of a packet without a proof, from its sequence number."""
    cdef int64_t extended
    if not self.started:
        return SEQUENCE_FIRST + <uint64_t>number
    extended = guess_index(self.newest, number)
    return <uint64_t>extended if extended >= 0 else number
