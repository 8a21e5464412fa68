# The load generator and its sink: an open loop that sends at times fixed beforehand, whatever comes back.
#
#    one thread   (two cores: the gateway has the other)     two threads
#
#    +--> send what is due ----+                             generator: send what is due, or make the next ones
#    |    or make the next     |
#    +--- receive, or look <---+                             sink:      receive, or look at what has gathered
#
# Every step is short (tens of microseconds at most), so a packet that falls due is not kept waiting long. A sleep wakes
# up late by 70 to 140 us: between packets the generator spins, and counts how long.

cdef enum:
    LOAD_SLEEP_MIN_NS = 2000000     # a shorter gap is spun away
    LOAD_SLEEP_EARLY_NS = 700000    # and the end of a longer one
    LOAD_IDLE_GAP_NS = 2000         # a longer gap in spinning was an interrupt, and no idleness
    LOAD_SINK_SLEEP_NS = 500000     # of a sink that has a thread of its own; the kernel stamps and keeps what arrives
    LOAD_SWEEP_NS = 2000000000      # to empty the buffers when the time for listening is over
    LOAD_WAIT_MS = 100              # signals are looked at this often

cdef struct load_state:
    load_io *io
    load_stream *streams
    uint32_t stream_count           # of the run
    uint64_t seed
    uint64_t sample
    load_impairments asked
    uint8_t *page
    uint64_t origin_ns
    uint64_t measure_ns             # from here on it counts
    uint64_t end_ns
    uint64_t give_up_ns             # all that is late on purpose has long been due
    uint64_t drain_ns
    uint64_t ended_ns
    int64_t wall_ns                 # wall clock less monotonic clock, at the start
    load_second *seconds
    uint64_t second_count
    load_generator generator
    load_sink sink
    int done_fd
    uint32_t stop
    uint32_t sent_all               # the generator's last word to a sink of its own thread
    uint32_t ended                  # threads that are through


cdef inline load_second *load_second_of(load_state *s, uint64_t scheduled_ns) noexcept nogil:
    cdef uint64_t second = (scheduled_ns - s.origin_ns) // 1000000000
    return &s.seconds[second if second < s.second_count else s.second_count - 1]


cdef inline bint load_over(load_state *s, uint64_t now_ns) noexcept nogil:
    """Has the generator to give up? It has all sent, was told to stop, or is hopelessly behind."""
    return load_all_sent(&s.generator) or load_acquire(&s.stop) or now_ns > s.give_up_ns


cdef void load_idle(load_state *s, uint64_t now_ns, bint listening) noexcept nogil:
    """Nothing to do: sleep, if there is time."""
    cdef load_generator *g = &s.generator
    cdef uint64_t due_ns = load_next_due(g)
    if load_all_sent(g):
        due_ns = now_ns + LOAD_SLEEP_MIN_NS + LOAD_SLEEP_EARLY_NS
    elif not g.planned_all and g.tail == g.head:
        return
    if due_ns < now_ns + LOAD_SLEEP_MIN_NS:
        return
    if listening:
        load_rest(s.io, min(due_ns - now_ns - LOAD_SLEEP_EARLY_NS, <uint64_t>LOAD_WAIT_MS * 1000000))
    else:
        load_sleep(min(due_ns - now_ns - LOAD_SLEEP_EARLY_NS, <uint64_t>LOAD_WAIT_MS * 1000000))
    g.slept_ns += monotonic_ns() - now_ns


cdef inline uint64_t load_spun(uint64_t *spun_ns, uint64_t idle_since_ns, uint64_t now_ns) noexcept nogil:
    """Add the time since the last look, if nothing was found to do then and nobody interrupted."""
    if idle_since_ns and now_ns - idle_since_ns < LOAD_IDLE_GAP_NS:
        spun_ns[0] += now_ns - idle_since_ns
    return now_ns


cdef inline bint load_heard_out(load_state *s, uint64_t end_ns, uint64_t now_ns, bint idle) noexcept nogil:
    """Has the sink listened long enough? What arrived before the end and waits in a buffer is looked at, too."""
    if load_acquire(&s.stop):
        return True
    return now_ns >= end_ns and (idle or now_ns - end_ns > LOAD_SWEEP_NS)


cdef void load_finished(load_state *s, uint32_t threads) noexcept nogil:
    store_release(&s.ended, threads)
    wake(s.done_fd)


cdef void *load_main(void *argument) noexcept nogil:
    """Both in one thread."""
    cdef load_state *s = <load_state *>argument
    cdef uint64_t now_ns, idle_ns = 0, end_ns = 0
    cdef bint busy
    load_exact_sleep()
    s.generator.thread = load_thread_number()
    while True:
        now_ns = load_spun(&s.generator.spun_ns, idle_ns, monotonic_ns())
        if end_ns == 0 and load_over(s, now_ns):
            load_give_up(s, not load_acquire(&s.stop))
            end_ns = now_ns + s.drain_ns
        if end_ns and load_heard_out(s, end_ns, now_ns, idle_ns != 0):
            break
        busy = load_send_due(s, now_ns) or load_prepare(s)
        busy = load_listen(s, now_ns) or busy
        idle_ns = 0 if busy else now_ns
        if not busy:
            load_idle(s, now_ns, True)
    load_examine(s, now_ns)
    s.generator.cpu_ns += load_thread_cpu_ns()
    s.ended_ns = now_ns
    load_finished(s, 1)
    return NULL


cdef void *load_generator_main(void *argument) noexcept nogil:
    cdef load_state *s = <load_state *>argument
    cdef uint64_t now_ns, idle_ns = 0
    cdef bint busy
    load_exact_sleep()
    s.generator.thread = load_thread_number()
    while True:
        now_ns = load_spun(&s.generator.spun_ns, idle_ns, monotonic_ns())
        if load_over(s, now_ns):
            break
        busy = load_send_due(s, now_ns) or load_prepare(s)
        idle_ns = 0 if busy else now_ns
        if not busy:
            load_idle(s, now_ns, False)
    load_give_up(s, not load_acquire(&s.stop))
    s.generator.cpu_ns += load_thread_cpu_ns()
    store_release(&s.sent_all, 1)
    return NULL


cdef void *load_sink_main(void *argument) noexcept nogil:
    cdef load_state *s = <load_state *>argument
    cdef uint64_t now_ns, end_ns = LOAD_NEVER
    cdef bint busy = True
    load_exact_sleep()
    s.sink.thread = load_thread_number()
    while True:
        now_ns = monotonic_ns()
        if end_ns == LOAD_NEVER and load_acquire(&s.sent_all):
            end_ns = now_ns + s.drain_ns
        if load_heard_out(s, end_ns, now_ns, not busy):
            break
        busy = load_listen(s, now_ns)
        if not busy:
            load_sleep(LOAD_SINK_SLEEP_NS)
            s.sink.slept_ns += monotonic_ns() - now_ns
    load_examine(s, now_ns)
    s.sink.cpu_ns += load_thread_cpu_ns()
    s.ended_ns = now_ns
    load_finished(s, 2)
    return NULL
