# What Python holds of the load generator and its sink: sockets, streams, runs, numbers.

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1


cdef class Load:
    """Generator and sink: sockets, streams, and the threads that drive them. `seed` (64 bit) makes the content of the
    packets and what is done to them on purpose.

    A stream is one way of a call. Set up with open_socket() and add_stream(), run with start(), read with counters(),
    histogram() and the others at any time. A run ends by itself. Times are nanoseconds of CLOCK_MONOTONIC.
    """
    cdef load_state *state
    cdef pthread_t[2] thread
    cdef pthread_mutex_t mutex
    cdef uint32_t threads           # of the present run, 0: none
    cdef int pid
    cdef uint32_t added
    cdef uint32_t capacity
    cdef bint closed
    cdef list contexts
    cdef list endpoints
    cdef set out_ssrcs
    cdef list dropped               # the kernel's counts when the run began
    cdef uint64_t drops             # in the last run, once closed

    def __cinit__(self, uint64_t seed):
        self.pid = own_pid()
        self.contexts = []
        self.endpoints = []
        self.out_ssrcs = set()
        self.dropped = []
        pthread_mutex_init(&self.mutex, NULL)
        self.state = <load_state *>calloc(1, sizeof(load_state))
        if self.state == NULL:
            raise MemoryError
        self.state.seed = seed
        self.state.asked.stranger = -1
        self.state.sink.latency_min_ns = LOAD_NEVER
        self.state.done_fd = wake_open()
        self.state.io = load_io_create()
        self.state.page = <uint8_t *>malloc(LOAD_PAGE + LOAD_PAYLOAD_MAX + 8)
        self.state.generator.slots = <uint8_t *>calloc(LOAD_QUEUE, LOAD_SLOT)
        if self.state.page == NULL or self.state.generator.slots == NULL:
            raise MemoryError
        if self.state.done_fd < 0 or self.state.io == NULL:
            raise OSError("cannot open the descriptors of a load")
        load_fill_page(self.state.page, seed)

    def __dealloc__(self):
        cdef load_state *s = self.state
        if s == NULL:
            return
        self.stop()
        self.release()
        load_io_destroy(s.io)
        close_fd(s.done_fd)
        free(s.streams)
        free(s.page)
        free(s.generator.slots)
        free(s)
        pthread_mutex_destroy(&self.mutex)

    cdef void release(self) noexcept:
        """What belongs to one run."""
        cdef load_state *s = self.state
        plan_close(&s.generator.plan)
        free(s.generator.spoken)
        free(s.sink.heard)
        free(s.sink.table)
        free(s.seconds)
        s.generator.spoken = NULL
        s.sink.heard = NULL
        s.sink.table = NULL
        s.seconds = NULL
        s.second_count = s.stream_count = 0

    cdef int idle(self) except -1:
        """Set-up is for when nothing runs."""
        if self.closed:
            raise RuntimeError("this load is closed")
        if self.threads and not self.ended():
            raise RuntimeError("the load is running")
        self.join()
        return 0

    cdef bint ended(self) noexcept:
        return load_acquire(&self.state.ended) >= self.threads

    cdef void join(self) noexcept:
        """Wait for the threads of the last run; its numbers stay."""
        cdef uint32_t i
        if self.pid != own_pid():
            return
        with nogil:
            pthread_mutex_lock(&self.mutex)
            for i in range(self.threads):
                pthread_join(self.thread[i], NULL)
            if self.threads:
                plan_passed(&self.state.generator.plan, self.state.streams)
                wake_read(self.state.done_fd)
            self.threads = 0
            pthread_mutex_unlock(&self.mutex)

    # --- set up

    def open_socket(self, tuple local not None, *, int receive_buffer=1 << 26, int send_buffer=1 << 22, uint8_t dscp=0):
        """Number of a fresh UDP socket, for sending, receiving or both. OSError where the address cannot be had."""
        cdef endpoint address
        cdef engine_port_options options
        cdef int fd, number
        self.idle()
        memset(&options, 0, sizeof(options))
        options.dscp = dscp
        parse_endpoint(&address, local)
        fd = engine_socket.bind(&address, &options)  # with receive stamps; its handle is the descriptor
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd))
        number = load_io_add(self.state.io, fd, receive_buffer, send_buffer)
        if number < 0:
            engine_socket.release(fd)
            raise OSError(-number, os.strerror(-number))
        self.endpoints.append(endpoint_tuple(&address))
        return number

    def socket_endpoint(self, uint32_t socket):
        """Where a socket is bound."""
        self.socket_numbers(socket)
        return self.endpoints[socket]

    def socket_buffers(self, uint32_t socket):
        """Octets that the kernel granted a socket for receiving and for sending."""
        numbers = self.socket_numbers(socket)
        return numbers[1], numbers[2]

    cdef tuple socket_numbers(self, uint32_t socket):
        """(datagrams dropped so far, receive buffer, send buffer)."""
        cdef uint32_t dropped = 0, receive = 0, send = 0
        cdef int error
        if self.closed:
            raise RuntimeError("this load is closed")
        if socket >= load_io_count(self.state.io):
            raise ValueError(f"there is no socket {socket}")
        error = load_io_numbers(self.state.io, socket, &dropped, &receive, &send)
        if error < 0:
            raise OSError(-error, os.strerror(-error))
        return dropped, receive, send

    def add_stream(
        self, *, uint32_t ssrc, uint16_t first_sequence, uint32_t first_timestamp, uint32_t timestamp_step,
        payload_type, payload_octets, interval_ns, phase_ns, int socket, tuple destination not None,
        Context sender=None, int sink_socket, tuple source not None=(), Context receiver=None, out_ssrc=None,
        rtcp_interval_ns=0, rtcp_phase_ns=0, int rtcp_socket=-1, tuple rtcp_destination not None=(),
        int rtcp_sink_socket=-1, tuple rtcp_source not None=()
    ):
        """Number of a new stream: packets of `payload_octets` every `interval_ns`, from `phase_ns` after the run's
        origin on, sent from `socket` to `destination` under `sender` (None: plain), expected at `sink_socket` from
        `source` (empty: anywhere) under `receiver` and `out_ssrc` (None: as sent). RTCP goes the same ways unless told
        others, every rtcp_interval_ns (0: none). ValueError names what is wrong. The contexts are the load's until
        close()."""
        cdef load_stream stream
        cdef uint64_t out = ssrc if out_ssrc is None else load_in_range(out_ssrc, 0, 0xFFFFFFFF, "out_ssrc")
        self.idle()
        memset(&stream, 0, sizeof(stream))
        stream.ssrc = ssrc
        stream.out_ssrc = <uint32_t>out
        stream.first_sequence = first_sequence
        stream.first_timestamp = first_timestamp
        stream.timestamp_step = timestamp_step
        stream.payload_type = load_in_range(payload_type, 0, 127, "payload_type")
        stream.payload_octets = load_in_range(payload_octets, 1, LOAD_PAYLOAD_MAX, "payload_octets")
        stream.interval_ns[RTP] = load_in_range(interval_ns, LOAD_INTERVAL_MIN_NS, LOAD_INTERVAL_MAX_NS, "interval_ns")
        stream.phase_ns[RTP] = load_in_range(phase_ns, 0, interval_ns - 1, "phase_ns")
        if rtcp_interval_ns:
            stream.interval_ns[RTCP] = load_in_range(rtcp_interval_ns, LOAD_INTERVAL_MIN_NS, LOAD_INTERVAL_MAX_NS,
                                                     "rtcp_interval_ns")
            stream.phase_ns[RTCP] = load_in_range(rtcp_phase_ns, 0, rtcp_interval_ns - 1, "rtcp_phase_ns")
        load_set_contexts(&stream, sender, receiver)
        load_set_route(&stream, False, (socket, sink_socket), destination, source, self.endpoints)
        rtcp_sockets = (rtcp_socket if rtcp_socket >= 0 else socket,
                        rtcp_sink_socket if rtcp_sink_socket >= 0 else sink_socket)
        load_set_route(&stream, True, rtcp_sockets, rtcp_destination or destination, rtcp_source or source,
                       self.endpoints)
        return self.append(&stream, sender, receiver)

    cdef object append(self, const load_stream *stream, Context sender, Context receiver):
        cdef load_stream *grown
        if stream.out_ssrc in self.out_ssrcs:
            raise ValueError(f"another stream comes out under SSRC {stream.out_ssrc:#010x}")
        if self.added == self.capacity:
            if self.added == LOAD_STREAMS_MAX:
                raise ValueError(f"a load has at most {LOAD_STREAMS_MAX} streams")
            grown = <load_stream *>realloc(self.state.streams, sizeof(load_stream) * (2 * self.capacity + 64))
            if grown == NULL:
                raise MemoryError
            self.state.streams = grown
            self.capacity = 2 * self.capacity + 64
        self.state.streams[self.added] = stream[0]
        self.out_ssrcs.add(stream.out_ssrc)
        self.contexts.append((sender, receiver))
        self.added += 1
        return self.added - 1

    def impair(self, *, double loss=0.0, double duplicate=0.0, double reorder=0.0, reorder_depth=1, double forge=0.0,
               int stranger=-1):
        """What is done to RTP packets on purpose, as fractions of them, chosen by seed, SSRC and number: not sent, sent
        twice, sent reorder_depth and a half intervals late, preceded by a damaged copy. Damaged copies of plain
        streams leave from the socket `stranger`, or not at all (-1)."""
        cdef load_impairments asked
        self.idle()
        asked.lost = load_share(loss, "loss")
        asked.twice = load_share(duplicate, "duplicate")
        asked.late = load_share(reorder, "reorder")
        asked.forged = load_share(forge, "forge")
        asked.depth = load_in_range(reorder_depth, 1, LOAD_DEPTH_MAX, "reorder_depth")
        if not -1 <= stranger < len(self.endpoints):
            raise ValueError(f"there is no socket {stranger} (stranger)")
        asked.stranger = stranger
        asked.any = (asked.lost | asked.twice | asked.late | asked.forged) != 0
        self.state.asked = asked

    # --- run

    def start(self, *, duration_ns, warmup_ns=0, drain_ns=500000000, sample=1, int64_t streams=-1, uint64_t origin_ns=0,
              int generator_cpu=-1, sink_cpu=None):
        """Run the first `streams` streams (-1: all) for warmup_ns + duration_ns, then listen for drain_ns. Gives the
        schedule's origin. 1 in `sample` packets is authenticated and compared. sink_cpu None: one thread does both;
        else the sink has its own, on that core (-1: any). What was sent before is not sent again: numbers go on."""
        cdef load_state *s = self.state
        cdef uint64_t now_ns = monotonic_ns(), delayed = 0
        cdef uint32_t count
        self.idle()
        count = <uint32_t>load_in_range(self.added if streams < 0 else streams, 1, self.added, "streams")
        warmup_ns = load_in_range(warmup_ns, 0, LOAD_SECONDS_MAX * <uint64_t>1000000000, "warmup_ns")
        duration_ns = load_in_range(duration_ns, 1, LOAD_SECONDS_MAX * <uint64_t>1000000000, "duration_ns")
        drain_ns = load_in_range(drain_ns, 0, LOAD_DRAIN_MAX_NS, "drain_ns")
        s.sample = load_in_range(sample, 1, 1 << 20, "sample")
        if origin_ns and origin_ns < now_ns:
            raise ValueError("the origin has passed")
        if s.asked.late:
            delayed = <uint64_t>count * (s.asked.depth + 2)
        self.release()
        load_reset(s)
        load_allocate(s, count, (warmup_ns + duration_ns) // 1000000000 + 1)
        plan_open(&s.generator.plan, s.streams, count, <uint32_t>delayed)
        self.dropped = [self.socket_numbers(i)[0] for i in range(len(self.endpoints))]
        load_schedule(s, origin_ns or monotonic_ns() + LOAD_LEAD_NS, warmup_ns, duration_ns, drain_ns)
        self.launch(generator_cpu, sink_cpu)
        return s.origin_ns

    cdef int launch(self, int generator_cpu, object sink_cpu) except -1:
        if sink_cpu is None:
            self.run_thread(load_main, generator_cpu)
        else:
            self.run_thread(load_generator_main, generator_cpu)
            self.run_thread(load_sink_main, sink_cpu)
        return 0

    cdef int run_thread(self, void *(*entry)(void *) noexcept nogil, int cpu) except -1:
        cdef char[SIGNAL_SET_SIZE] saved
        cdef int error
        worker_mask_signals(saved)  # the thread inherits the mask: handlers run on the main thread
        error = pthread_create(&self.thread[self.threads], NULL, entry, self.state)
        worker_restore_signals(saved)
        if not error:
            self.threads += 1
            if cpu >= 0:
                error = worker_pin(self.thread[self.threads - 1], cpu)
        if error:
            self.stop()
            raise OSError(error, f"cannot run a load on core {cpu}: {os.strerror(error)}")
        return 0

    @property
    def running(self):
        """Whether a run is under way."""
        return self.threads > 0 and not self.ended()

    def wait(self, double timeout_s):
        """Until the run has ended, timeout_s at most. Whether it has."""
        cdef uint64_t end_ns = monotonic_ns() + <uint64_t>(min(max(timeout_s, 0.0), 1e6) * 1e9)
        cdef uint64_t now_ns = 0
        cdef int fd = self.state.done_fd
        while self.running and now_ns < end_ns:
            now_ns = monotonic_ns()
            if now_ns < end_ns:
                with nogil:
                    load_ended(fd, <int>min(<uint64_t>LOAD_WAIT_MS, (end_ns - now_ns) // 1000000 + 1))
            PyErr_CheckSignals()
        if self.running:
            return False
        self.join()
        return True

    cpdef stop(self):
        """End the run now. Again is harmless."""
        store_release(&self.state.stop, 1)
        self.join()

    def close(self):
        """Stop, close the sockets, let go of the contexts. The numbers of the last run stay."""
        if self.closed:
            return
        self.stop()
        self.drops = self.socket_drops()
        self.closed = True
        load_io_destroy(self.state.io)
        self.state.io = NULL
        self.contexts.clear()

    # --- read

    cdef uint64_t socket_drops(self) except? 0:
        """What the kernel dropped at the sink's full buffers in this run."""
        if self.closed:
            return self.drops
        return sum(((self.socket_numbers(i)[0] - before) & 0xFFFFFFFF for i, before in enumerate(self.dropped)))

    def counters(self):
        """Every number of LOAD_COUNTER_NAMES."""
        cdef int i
        numbers = {
            LOAD_COUNTER_NAMES[i]: self.state.generator.counters[i] + self.state.sink.counters[i]
            for i in range(LOAD_COUNTER_COUNT)
        }
        numbers["lost"] = max(0, numbers["sent"] - numbers["received"])
        numbers["sink_dropped"] = self.socket_drops()
        return numbers

    def times(self):
        """When the run began, what its threads did, extremes: nanoseconds. generator_thread and sink_thread are the
        kernel's numbers of the threads (0: none yet, or both in one), send_errno is the last error of a send (0: none).

        The generator spins and sleeps between packets; a sink with a thread of its own only sleeps."""
        cdef load_state *s = self.state
        cdef uint64_t now_ns = min(s.ended_ns if s.ended_ns else monotonic_ns(), s.end_ns)
        return {
            "origin_ns": s.origin_ns,
            "send_errno": s.generator.send_errno,
            "measured_ns": now_ns - s.measure_ns if now_ns > s.measure_ns else 0,
            "ended_ns": s.ended_ns,
            "spun_ns": s.generator.spun_ns,
            "slept_ns": s.generator.slept_ns,
            "sink_slept_ns": s.sink.slept_ns,
            "generator_cpu_ns": s.generator.cpu_ns,
            "sink_cpu_ns": s.sink.cpu_ns,
            "generator_thread": s.generator.thread,
            "sink_thread": s.sink.thread,
            "lateness_max_ns": s.generator.lateness_max_ns,
            "latency_max_ns": s.sink.latency_max_ns,
            "latency_min_ns": 0 if s.sink.latency_min_ns == LOAD_NEVER else s.sink.latency_min_ns,
        }

    def histogram(self, str name not None):
        """Counts of the buckets of "lateness" or "latency": LOAD_BUCKETS numbers of 64 bits."""
        if name == "lateness":
            return load_octets(self.state.generator.lateness, LOAD_BUCKETS)
        if name == "latency":
            return load_octets(self.state.sink.latency, LOAD_BUCKETS)
        raise ValueError(f"no histogram {name!r}: lateness or latency")

    def streams(self):
        """Arrays of 64-bit numbers by stream."""
        return load_stream_numbers(self.state)

    def timeline(self):
        """Arrays of 64-bit numbers by second of the schedule, from the origin on."""
        return load_second_numbers(self.state)
