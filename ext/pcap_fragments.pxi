# Fragments of IP datagrams, put together (RFC 791 3.2, RFC 8200 4.5).
#
# A fixed number of datagrams wait at a time, the oldest gives way. A bit for each eight octets tells what is there. A
# datagram of which two fragments overlap is refused as a whole (RFC 5722), but for the same fragment captured twice.

cdef enum:
    FRAGMENT_SLOTS = 64
    FRAGMENT_OCTETS = 65536             # of a datagram behind its IP header
    FRAGMENT_UNIT = 8                   # octets: fragments begin at multiples
    FRAGMENT_WORDS = 128                # of 64 units

cdef int64_t FRAGMENT_WAIT_NS = 30000000000  # by the time of the capture, as Linux has it

cdef enum fragment_state:
    FRAGMENT_FREE
    FRAGMENT_WAITING
    FRAGMENT_REFUSED                    # what comes of it is refused until its time is over

cdef struct fragment_key:
    uint32_t interface
    uint32_t id
    uint8_t family
    uint8_t protocol                    # IPv6: 0, there the identification stands alone
    uint8_t[2] zero
    uint8_t[16] source
    uint8_t[16] destination

cdef struct fragment_slot:
    fragment_key key
    fragment_state state
    int64_t first_ns
    uint32_t total                      # octets, 0: the last fragment has not come
    uint32_t have                       # octets
    uint32_t end                        # of the fragment that reaches furthest
    uint8_t protocol                    # of the first fragment
    uint64_t[FRAGMENT_WORDS] units
    uint8_t[FRAGMENT_OCTETS] octets

cdef struct fragment_table:
    uint32_t waiting                    # slots in use
    fragment_slot[FRAGMENT_SLOTS] slots


cdef inline bint fragment_expired(const fragment_slot *slot, int64_t now_ns) noexcept nogil:
    """The capture's clock may also have been set back."""
    return now_ns > slot.first_ns + FRAGMENT_WAIT_NS or now_ns < slot.first_ns - FRAGMENT_WAIT_NS


cdef void fragment_drop(capture_file *f, fragment_table *table, fragment_slot *slot) noexcept nogil:
    if slot.state == FRAGMENT_WAITING:
        file_count(f, CAPTURE_FRAGMENT_MISSING)
    if slot.state != FRAGMENT_FREE:
        table.waiting -= 1
    slot.state = FRAGMENT_FREE


cdef fragment_slot *fragment_find(capture_file *f, fragment_table *table, const fragment_key *key) noexcept nogil:
    """The datagram's slot; a new one for a new datagram, where need be the oldest."""
    cdef fragment_slot *slot
    cdef fragment_slot *chosen = &table.slots[0]
    cdef int i
    for i in range(FRAGMENT_SLOTS):
        slot = &table.slots[i]
        if slot.state != FRAGMENT_FREE and fragment_expired(slot, f.time_ns):
            fragment_drop(f, table, slot)
        if slot.state != FRAGMENT_FREE and memcmp(&slot.key, key, sizeof(fragment_key)) == 0:
            return slot
        if chosen.state != FRAGMENT_FREE and (slot.state == FRAGMENT_FREE or slot.first_ns < chosen.first_ns):
            chosen = slot
    fragment_drop(f, table, chosen)
    table.waiting += 1
    chosen.key = key[0]
    chosen.state = FRAGMENT_WAITING
    chosen.first_ns = f.time_ns
    chosen.total = chosen.have = chosen.end = chosen.protocol = 0
    memset(chosen.units, 0, sizeof(chosen.units))
    return chosen


cdef uint32_t fragment_mark(fragment_slot *slot, uint32_t offset, uint32_t length) noexcept nogil:
    """Mark the units; how many were marked before."""
    cdef uint32_t unit, before = 0
    cdef uint64_t bit
    for unit in range(offset // FRAGMENT_UNIT, (offset + length + FRAGMENT_UNIT - 1) // FRAGMENT_UNIT):
        bit = <uint64_t>1 << unit % 64
        if slot.units[unit // 64] & bit:
            before += 1
        slot.units[unit // 64] |= bit
    return before


cdef bint fragment_contradicts(const fragment_slot *slot, uint32_t offset, uint32_t length, bint more) noexcept nogil:
    """Against the end of the datagram, where that is known."""
    cdef uint32_t end = offset + length
    if more:
        return slot.total and end >= slot.total
    return slot.total and end != slot.total or slot.end > end


cdef capture_counter fragment_add(capture_file *f, fragment_table *table, fragment_slot *slot, const link_rest *part,
                                  uint32_t offset, bint more) noexcept nogil:
    """CAPTURE_PACKETS where this was the last one missing: then slot.octets holds slot.total octets."""
    cdef uint32_t before, units = (part.len + FRAGMENT_UNIT - 1) // FRAGMENT_UNIT
    if slot.state == FRAGMENT_REFUSED:
        return CAPTURE_FRAGMENT_OVERLAP
    before = fragment_mark(slot, offset, part.len)
    if before == units and before and memcmp(slot.octets + offset, part.data, part.len) == 0:
        return CAPTURE_FRAGMENT_TWICE
    if before or fragment_contradicts(slot, offset, part.len, more):
        slot.state = FRAGMENT_REFUSED
        return CAPTURE_FRAGMENT_OVERLAP
    memcpy(slot.octets + offset, part.data, part.len)
    slot.have += part.len
    slot.end = max(slot.end, offset + part.len)
    if not more:
        slot.total = offset + part.len
    if slot.have != slot.total:
        return CAPTURE_FRAGMENTS
    slot.state = FRAGMENT_FREE
    table.waiting -= 1
    file_count(f, CAPTURE_REASSEMBLED)
    return CAPTURE_PACKETS


cdef capture_counter fragment_take(capture_file *f, fragment_table *table, const fragment_key *key, link_rest *part,
                                   uint32_t offset, bint more, uint8_t *protocol) noexcept nogil:
    """Take the fragment in. CAPTURE_PACKETS: `part` is now the whole datagram, and `protocol` its first fragment's."""
    cdef capture_counter outcome
    cdef fragment_slot *slot
    file_count(f, CAPTURE_FRAGMENTS)
    if part.len < part.wire_len:
        return CAPTURE_FRAGMENT_CUT
    if part.len == 0 or offset + part.len >= FRAGMENT_OCTETS or more and part.len % FRAGMENT_UNIT:
        return CAPTURE_IP_MALFORMED
    slot = fragment_find(f, table, key)
    if offset == 0 and slot.state == FRAGMENT_WAITING:
        slot.protocol = protocol[0]
    outcome = fragment_add(f, table, slot, part, offset, more)
    if outcome == CAPTURE_PACKETS:
        part.data, part.len, part.wire_len = slot.octets, slot.total, slot.total
        protocol[0] = slot.protocol
    return outcome
