# The packet loop: one worker per core, a raw thread that never takes the GIL.
#
#     control side                      worker
#     call() --- one request slot ----> run between two batches, in order
#            <-- done eventfd ---------
#     events() <--- event ring -------- what happened to legs (event eventfd)
#     snapshot_legs() <--- counters --- read in place
#
# A thread of Python's would need the GIL to end; this one ends by itself, by stop() or with the process.

cdef extern from "pthread.h" nogil:
    ctypedef unsigned long pthread_t
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_create(pthread_t *thread, const void *attributes, void *(*entry)(void *) noexcept nogil, void *argument)
    int pthread_join(pthread_t thread, void **result)
    int pthread_mutex_init(pthread_mutex_t *mutex, const void *attributes)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)

cdef extern from "loop.h" nogil:
    int worker_mask_signals(void *saved)
    void worker_restore_signals(void *saved)
    int worker_pin(pthread_t thread, int cpu)
    uint64_t monotonic_ns()
    uint64_t realtime_ns()
    int wake_open()
    void wake(int fd)
    void wake_wait(int fd)
    void wake_read(int fd)
    void rest()
    void rest_until(uint64_t ns)
    void exact_timers()
    void close_fd(int fd)
    int own_pid()
    unsigned if_nametoindex(const char *name)
    enum:
        SIGNAL_SET_SIZE

ctypedef void (*worker_call)(void *argument) noexcept nogil

cdef enum:
    TICK_NS = 100000000         # each leg's media timeout is looked at this often
    TICK_PARTS = 16
    WAIT_MS = 100

cdef struct worker_state:
    const engine_ops *ops
    engine *engine
    relay_state relay
    engine_frame frames[ENGINE_BATCH]
    event_ring events
    int wake_fd
    int done_fd
    int event_fd                # shared with the other workers, the control side's to read
    uint32_t stop
    uint32_t requested          # requests handed over, and carried out
    uint32_t done
    worker_call call
    void *argument
    uint64_t batches
    uint64_t packets
    uint64_t pace_ns            # rest between batches where packets come in quick succession; 0: none
    uint64_t received_ns        # when the last batch came
    uint64_t looked_ns          # when media timeouts were looked at, and at which place of `legs` to go on
    uint32_t looked_at
    uint32_t events_told
    int failure                 # errno of the engine's last failed receive
    uint32_t *legs              # legs attached here, for the timeouts
    uint32_t leg_count


cdef void check_timeout(worker_state *self, uint32_t number, uint64_t now_ns) noexcept nogil:
    cdef leg_record *leg = leg_at(number)
    cdef uint64_t last
    if not leg.watched or not leg.live or leg.timed_out or leg.hold:
        return
    last = max(leg.last_packet_ns, leg.activated_ns)
    if now_ns > last and now_ns - last > leg.timeout_ns:
        leg.timed_out = 1
        push_event(&self.events, EVENT_MEDIA_TIMEOUT, number, False, NULL, NULL, now_ns)


cdef void check_timeouts(worker_state *self, uint64_t now_ns) noexcept nogil:
    """Media timeouts of the legs that are attached here: all in TICK_NS, a part at a time, so that packets never wait
    for thousands of legs."""
    cdef uint64_t elapsed = now_ns - self.looked_ns if now_ns > self.looked_ns else 0
    cdef uint64_t due
    if elapsed < TICK_NS // TICK_PARTS:
        return
    self.looked_ns = now_ns
    due = self.leg_count if elapsed >= TICK_NS else self.leg_count * elapsed // TICK_NS + 1
    for _ in range(min(due, self.leg_count)):
        if self.looked_at >= self.leg_count:
            self.looked_at = 0
        check_timeout(self, self.legs[self.looked_at], now_ns)
        self.looked_at += 1


cdef void tell_events(worker_state *self) noexcept nogil:
    if self.events.head != self.events_told:
        self.events_told = self.events.head
        wake(self.event_fd)


cdef void carry_out(worker_state *self) noexcept nogil:
    """The control side's request, if there is one."""
    if load_acquire(&self.requested) != self.done:
        self.call(self.argument)
        store_release(&self.done, self.done + 1)
        wake(self.done_fd)


cdef int turn(worker_state *self, int timeout_ms, uint64_t now_ns) noexcept nogil:
    """One batch: receive, relay, send, count. now_ns 0 reads the clock. The number of frames received."""
    cdef int woken = 0, count, left
    cdef uint64_t sent_ns
    count = self.ops.receive(self.engine, self.frames, ENGINE_BATCH, timeout_ms, &woken)
    if count < 0:
        self.failure = -count
        rest()
        count = 0
    if now_ns == 0:
        now_ns = monotonic_ns()
    self.received_ns = now_ns
    if count:
        left = relay_batch(&self.relay, self.frames, count, now_ns)
        if left:
            self.ops.send(self.engine, self.relay.leaving, left)
            sent_ns = realtime_ns()
            self.relay.realtime_offset_ns = sent_ns - now_ns
            count_sent(&self.relay, left, sent_ns)
        self.batches += 1
        self.packets += count
    check_timeouts(self, now_ns)
    tell_events(self)
    carry_out(self)  # after the batch: a request may move its legs to another worker
    return count


cdef void *worker_main(void *argument) noexcept nogil:
    cdef worker_state *self = <worker_state *>argument
    cdef uint64_t asked_ns
    cdef int count
    exact_timers()
    while not load_acquire(&self.stop):
        asked_ns = monotonic_ns()
        count = turn(self, WAIT_MS, 0)
        # A wake-up costs as much as several packets. Where packets follow each other closely, the next batch is left to
        # gather; a full one tells of more that wait.
        if 0 < count < ENGINE_BATCH and self.received_ns - asked_ns < self.pace_ns:
            rest_until(self.received_ns + self.pace_ns)
    carry_out(self)
    return NULL


cdef struct port_request:
    worker_state *worker
    uint32_t port
    int handle
    int result


cdef void attach_port(void *argument) noexcept nogil:
    cdef port_request *r = <port_request *>argument
    r.result = r.worker.ops.attach(r.worker.engine, r.port, r.handle)
    if r.result == 0 and not r.port & 1:
        r.worker.legs[r.worker.leg_count] = r.port >> 1
        r.worker.leg_count += 1


cdef void detach_port(void *argument) noexcept nogil:
    cdef port_request *r = <port_request *>argument
    cdef uint32_t i
    r.result = r.worker.ops.detach(r.worker.engine, r.port)
    if r.port & 1:
        return
    for i in range(r.worker.leg_count):
        if r.worker.legs[i] == r.port >> 1:
            r.worker.leg_count -= 1
            r.worker.legs[i] = r.worker.legs[r.worker.leg_count]
            return


cdef const engine_ops *engine_named(str name) except NULL:
    if name == "socket":
        return &engine_socket
    if name == "memory":
        return &engine_memory
    raise ValueError(f"unknown engine {name!r}: socket or memory")


cdef class Worker:
    """Owns an engine, its thread, and the state between them. threaded=False: step() runs it, on the caller's thread.

    pacing_us: its thread rests so long between batches that come close to each other. OSError where the system refuses
    a descriptor, memory, a thread or the core `cpu` (-1: any).
    """
    cdef worker_state *state
    cdef pthread_t thread
    cdef pthread_mutex_t mutex
    cdef bint running
    cdef int pid

    def __cinit__(self, str engine_name not None, uint32_t max_ports, int event_fd, int cpu=-1, bint threaded=True,
                  uint32_t pacing_us=0):
        cdef int error = 0
        self.pid = own_pid()
        pthread_mutex_init(&self.mutex, NULL)
        self.state = <worker_state *>calloc(1, sizeof(worker_state))
        if self.state == NULL:
            raise MemoryError
        self.state.wake_fd = self.state.done_fd = -1
        self.state.ops = engine_named(engine_name)
        self.state.pace_ns = <uint64_t>pacing_us * 1000
        self.state.legs = <uint32_t *>calloc(max_ports // 2 + 1, sizeof(uint32_t))
        self.state.relay.events = &self.state.events
        self.state.event_fd = event_fd
        self.state.wake_fd = wake_open()
        self.state.done_fd = wake_open()
        if self.state.legs == NULL or self.state.wake_fd < 0 or self.state.done_fd < 0:
            raise OSError("cannot open the descriptors of a worker")
        self.state.engine = self.state.ops.create(self.state.wake_fd, max_ports, &error)
        if self.state.engine == NULL:
            raise OSError(error, f"cannot start the {engine_name} engine: {os.strerror(error)}")
        if threaded:
            self.start(cpu)

    cdef int start(self, int cpu) except -1:
        cdef char[SIGNAL_SET_SIZE] saved
        cdef int error
        worker_mask_signals(saved)  # the worker inherits the mask: handlers run on the main thread
        error = pthread_create(&self.thread, NULL, worker_main, self.state)
        worker_restore_signals(saved)
        if error:
            raise OSError(error, f"cannot start a worker: {os.strerror(error)}")
        self.running = True
        if cpu >= 0:
            error = worker_pin(self.thread, cpu)
            if error:
                self.stop()
                raise OSError(error, f"cannot pin a worker to core {cpu}: {os.strerror(error)}")
        return 0

    cpdef stop(self):
        """End the thread after the batch at hand. Again is harmless."""
        if self.pid != own_pid():
            return
        with nogil:
            pthread_mutex_lock(&self.mutex)  # a request that is under way is carried out first
            if self.running:
                store_release(&self.state.stop, 1)
                wake(self.state.wake_fd)
                pthread_join(self.thread, NULL)
            self.running = False
            pthread_mutex_unlock(&self.mutex)

    def __dealloc__(self):
        if self.state == NULL:
            return
        self.stop()
        # a forked child shares the engine's epoll with its parent: it closes its copies of the descriptors only
        if self.state.engine != NULL and self.pid == own_pid():
            self.state.ops.destroy(self.state.engine)
        close_fd(self.state.wake_fd)
        close_fd(self.state.done_fd)
        free(self.state.legs)
        free(self.state)
        pthread_mutex_destroy(&self.mutex)

    cdef int call(self, worker_call call, void *argument) except -1:
        """Have the worker run `call` between two batches, and wait for it."""
        cdef worker_state *state = self.state
        if self.pid != own_pid():
            raise RuntimeError("this gateway belongs to the process that this one was forked from")
        with nogil:
            pthread_mutex_lock(&self.mutex)
            if self.running:
                state.call = call
                state.argument = argument
                store_release(&state.requested, state.requested + 1)
                wake(state.wake_fd)
                while load_acquire(&state.done) != state.requested:
                    wake_wait(state.done_fd)
            else:
                call(argument)
            pthread_mutex_unlock(&self.mutex)
        return 0

    cdef int port_call(self, worker_call call, uint32_t port, int handle) except *:
        cdef port_request request
        request.worker = self.state
        request.port = port
        request.handle = handle
        request.result = 0
        self.call(call, &request)
        return request.result

    def bind(self, tuple local not None, uint8_t dscp):
        """(handle, port) of a fresh local port. OSError where the address or port cannot be had."""
        cdef endpoint address
        cdef engine_port_options options
        memset(&options, 0, sizeof(options))
        options.dscp = dscp
        parse_endpoint(&address, local)
        cdef int handle = self.state.ops.bind(&address, &options)
        if handle < 0:
            raise OSError(-handle, os.strerror(-handle))
        return handle, address.port

    def set_dscp(self, int handle, uint8_t dscp):
        cdef engine_port_options options
        memset(&options, 0, sizeof(options))
        options.dscp = dscp
        cdef int result = self.state.ops.set_options(handle, &options)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def release(self, int handle):
        self.state.ops.release(handle)

    def attach(self, uint32_t port, int handle):
        """Receive at `handle` as port number leg * 2 (RTP) or leg * 2 + 1 (RTCP)."""
        cdef int result = self.port_call(attach_port, port, handle)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def detach(self, uint32_t port):
        self.port_call(detach_port, port, -1)

    def step(self, int timeout_ms=0, uint64_t now_ns=0):
        """One batch on this thread, at `now_ns` (0: by the clock). The number of frames received."""
        cdef int count
        if self.running:
            raise RuntimeError("this worker has a thread of its own")
        with nogil:
            count = turn(self.state, timeout_ms, now_ns)
        return count

    @property
    def forked(self):
        """Whether this is a copy in a child of the process that runs the worker."""
        return self.pid != own_pid()

    @property
    def leg_count(self):
        """Legs attached here."""
        return self.state.leg_count

    def numbers(self):
        """Batches, packets, events lost, and the last error of the engine (0: none)."""
        return {
            "batches": self.state.batches,
            "packets": self.state.packets,
            "events_lost": self.state.events.lost,
            "engine_error": self.state.failure,
        }

    def events(self):
        """[(kind, leg, rtcp, time ns, ssrc, outgoing ssrc, remote)], oldest first; each is given once."""
        cdef event_ring *ring = &self.state.events
        cdef srtp_event *e
        found = []
        while ring.tail != load_acquire(&ring.head):
            e = &ring.events[ring.tail & 1023]
            remote = endpoint_tuple(&e.remote)
            found.append((EVENT_NAMES[e.kind], e.leg, bool(e.rtcp), e.time_ns, e.ssrc, e.out_ssrc, remote))
            store_release(&ring.tail, ring.tail + 1)
        return found

    def inject(self, uint32_t port, tuple source not None, const uint8_t[::1] octets not None, uint64_t received_ns=0):
        """Memory engine: a datagram arrives. False when its queue is full or the port is not attached."""
        cdef endpoint address
        cdef uint8_t nothing = 0
        if self.state.ops != &engine_memory:
            raise RuntimeError("only the memory engine takes datagrams by call")
        parse_endpoint(&address, source)
        return engine_memory_inject(self.state.engine, port, &address, received_ns,
                                    &octets[0] if octets.shape[0] else &nothing, octets.shape[0]) == 0

    def collect(self):
        """Memory engine: (port, remote, octets) of the oldest frame sent, or None."""
        cdef engine_frame meta
        if self.state.ops != &engine_memory:
            raise RuntimeError("only the memory engine gives datagrams by call")
        cdef int length = engine_memory_collect(self.state.engine, &meta, API_ROOM, API_PACKET_MAX + API_OVERHEAD)
        return None if length < 0 else (meta.port, endpoint_tuple(&meta.remote), (<char *>API_ROOM)[:length])


def now_ns():
    """CLOCK_MONOTONIC in nanoseconds: the time that events and last packets are stamped with."""
    return monotonic_ns()


def interface_number(str name not None):
    """Number of a network interface, 0 where there is none of that name."""
    return if_nametoindex(name.encode())


def open_event_fd():
    """A descriptor that becomes readable when a worker has events to tell."""
    cdef int fd = wake_open()
    if fd < 0:
        raise OSError("cannot open an eventfd")
    return fd


def take_event_fd(int fd):
    """Read it empty."""
    wake_read(fd)


def close_event_fd(int fd):
    close_fd(fd)


def core_count():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
