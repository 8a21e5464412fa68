# When packets are due. All packets of one interval form a ring in the order of their phases: its cursor goes round once
# an interval. Packets that are sent late on purpose wait in a heap.
#
#    ring of 20 ms    s3   s9   s1   s4 ...      due = origin + phase + round * interval
#                               ^ at             RTP and RTCP have rings of their own
#    ring of 5 s      s2   s3 ...
#                     ^ at
#    delayed          (due, stream, n) ...       the earliest of all cursors and the heap's top is next

cdef enum:
    LOAD_RINGS = 64                 # different intervals

cdef uint64_t LOAD_NEVER = <uint64_t>-1

cdef struct load_ring:
    uint64_t interval_ns
    uint64_t round                  # number, in this run, of the packet at the cursor
    uint64_t due_ns                 # of the packet at the cursor; LOAD_NEVER when the run is over
    uint32_t *order                 # streams by phase
    uint32_t count
    uint32_t at
    uint8_t rtcp

cdef struct load_due:
    uint64_t due_ns
    uint64_t scheduled_ns           # before a delay on purpose
    uint64_t n                      # number in this run
    uint32_t stream
    uint8_t rtcp
    uint8_t delayed

cdef struct load_plan:
    const load_stream *streams
    uint64_t origin_ns
    uint64_t end_ns                 # nothing is scheduled from here on
    load_ring rings[LOAD_RINGS]
    uint32_t ring_count
    load_due *heap
    uint32_t heap_count
    uint32_t heap_capacity


cdef inline void ring_point(load_plan *plan, load_ring *ring) noexcept nogil:
    """Work out when the packet at the cursor is due."""
    cdef const load_stream *stream = &plan.streams[ring.order[ring.at]]
    ring.due_ns = plan.origin_ns + stream.phase_ns[ring.rtcp] + ring.round * ring.interval_ns
    if ring.due_ns >= plan.end_ns:
        ring.due_ns = LOAD_NEVER


cdef inline void ring_advance(load_plan *plan, load_ring *ring) noexcept nogil:
    ring.at += 1
    if ring.at == ring.count:
        ring.at = 0
        ring.round += 1
    ring_point(plan, ring)
    prefetch(&plan.streams[ring.order[ring.at + 8 if ring.at + 8 < ring.count else 0]])


cdef void plan_delay(load_plan *plan, const load_due *late) noexcept nogil:
    """Put a packet into the heap. It has room for all that may be under way."""
    cdef uint32_t at = plan.heap_count, above
    plan.heap_count += 1
    while at:
        above = (at - 1) >> 1
        if plan.heap[above].due_ns <= late.due_ns:
            break
        plan.heap[at] = plan.heap[above]
        at = above
    plan.heap[at] = late[0]


cdef void plan_take_delayed(load_plan *plan, load_due *out) noexcept nogil:
    """The heap's earliest packet."""
    cdef uint32_t at = 0, below
    cdef load_due last
    out[0] = plan.heap[0]
    plan.heap_count -= 1
    last = plan.heap[plan.heap_count]
    while True:
        below = 2 * at + 1
        if below >= plan.heap_count:
            break
        if below + 1 < plan.heap_count and plan.heap[below + 1].due_ns < plan.heap[below].due_ns:
            below += 1
        if last.due_ns <= plan.heap[below].due_ns:
            break
        plan.heap[at] = plan.heap[below]
        at = below
    plan.heap[at] = last


cdef bint plan_next(load_plan *plan, load_due *out) noexcept nogil:
    """Take the packet that is due next. False when the run holds no more."""
    cdef uint64_t earliest = plan.heap[0].due_ns if plan.heap_count else LOAD_NEVER
    cdef load_ring *found = NULL
    cdef uint32_t i
    for i in range(plan.ring_count):
        if plan.rings[i].due_ns < earliest:
            earliest = plan.rings[i].due_ns
            found = &plan.rings[i]
    if found != NULL:
        out.due_ns = out.scheduled_ns = found.due_ns
        out.n = found.round
        out.stream = found.order[found.at]
        out.rtcp = found.rtcp
        out.delayed = 0
        ring_advance(plan, found)
        return True
    if plan.heap_count:
        plan_take_delayed(plan, out)
        return True
    return False


cdef void plan_start(load_plan *plan, uint64_t origin_ns, uint64_t end_ns) noexcept nogil:
    cdef uint32_t i
    plan.origin_ns = origin_ns
    plan.end_ns = end_ns
    plan.heap_count = 0
    for i in range(plan.ring_count):
        plan.rings[i].round = plan.rings[i].at = 0
        ring_point(plan, &plan.rings[i])


cdef void plan_close(load_plan *plan) noexcept:
    cdef uint32_t i
    for i in range(plan.ring_count):
        free(plan.rings[i].order)
    free(plan.heap)
    plan.heap = NULL
    plan.ring_count = plan.heap_count = plan.heap_capacity = 0


cdef int plan_ring(load_plan *plan, uint64_t interval_ns, bint rtcp, list order) except -1:
    """A ring of these streams."""
    cdef load_ring *ring
    cdef uint32_t i
    if plan.ring_count == LOAD_RINGS:
        raise ValueError(f"more than {LOAD_RINGS} different intervals")
    ring = &plan.rings[plan.ring_count]
    memset(ring, 0, sizeof(load_ring))
    ring.order = <uint32_t *>malloc(sizeof(uint32_t) * len(order))
    if ring.order == NULL:
        raise MemoryError
    plan.ring_count += 1
    ring.interval_ns = interval_ns
    ring.rtcp = rtcp
    ring.count = <uint32_t>len(order)
    for i in range(ring.count):
        ring.order[i] = order[i]
    return 0


cdef int plan_open(load_plan *plan, const load_stream *streams, uint32_t count, uint32_t delayed_most) except -1:
    """Sort the streams into rings; room for `delayed_most` packets on their way."""
    cdef uint32_t i
    cdef int rtcp
    plan_close(plan)
    plan.streams = streams
    rings = {}
    for i in range(count):
        for rtcp in range(2):
            if streams[i].interval_ns[rtcp]:
                rings.setdefault((streams[i].interval_ns[rtcp], rtcp), []).append((streams[i].phase_ns[rtcp], i))
    for (interval_ns, rtcp), members in sorted(rings.items()):
        plan_ring(plan, interval_ns, rtcp, [number for _, number in sorted(members)])
    if delayed_most:
        plan.heap = <load_due *>malloc(sizeof(load_due) * delayed_most)
        if plan.heap == NULL:
            raise MemoryError
        plan.heap_capacity = delayed_most
    return 0


cdef void plan_passed(const load_plan *plan, load_stream *streams) noexcept nogil:
    """Add what a run has planned to `done`, so that the next one goes on from there."""
    cdef const load_ring *ring
    cdef uint32_t i, at
    for i in range(plan.ring_count):
        ring = &plan.rings[i]
        for at in range(ring.count):
            streams[ring.order[at]].done[ring.rtcp] += ring.round + (1 if at < ring.at else 0)
