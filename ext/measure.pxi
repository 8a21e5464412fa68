# What bench/ measures with: packets of many flows, in an engine's buffers and a worker's batches, through whole
# contexts, through the kernels alone, or through the relay.
#
#     prepare()   a chunk's packets, round robin over the flows, into a store; protected where they are to be opened
#     lay()       64 of them into 64 buffers, as receive() leaves them
#     work()      these through what is measured, in batches: the one part that is timed
#
# The monotonic clock is read before and after each work(), so that a packet holds a 64th of one reading (0.3 ns). The
# thread's CPU time around all of it tells whether the core was taken away meanwhile: such a chunk counts for nothing.

cdef extern from "engine/frames.h" nogil:
    enum:
        BUFFER_CAPACITY
    uint8_t *buffers_map(size_t count)
    uint8_t *buffer_data(uint8_t *base, size_t number)
    void buffers_unmap(uint8_t *base, size_t count)

cdef extern from "loop.h" nogil:
    enum:
        CLOCK_MONOTONIC
        CLOCK_THREAD_CPUTIME_ID
    uint64_t clock_ns(int clock)

cdef extern from *:
    """
    /* Additions that wait for each other, one cycle each. The summand is unknown to the compiler: newer CPUs carry out
     * the addition of a constant without time. */
    static inline uint64_t add_chain(uint64_t rounds) {
        uint64_t sum = 0, one = 1;
        __asm__ __volatile__("" : "+r"(one));
    #define ADD sum += one; __asm__ __volatile__("" : "+r"(sum));
        for (uint64_t i = 0; i < rounds; i++) {
            ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
        }
    #undef ADD
        return sum;
    }
    """
    uint64_t add_chain(uint64_t rounds) noexcept nogil

cdef enum:
    MEASURE_GROUP = ENGINE_BATCH    # packets laid out and timed together
    MEASURE_PAYLOAD_MAX = 1400      # octets
    MEASURE_CHUNK_MAX = 1 << 16     # packets
    MEASURE_TAIL = 64               # octets of the store behind a payload: tag
    MEASURE_SSRC = 0x10000000       # of the first flow
    RTP_VERSION_2 = 0x80            # first octet of a header without options
    ADD_CHAIN_ROUNDS = 20000        # of 16 additions: about 0.1 ms
    ADD_CHAIN_TRIES = 7

cdef struct measure_flow:
    uint64_t index              # of the next packet
    uint32_t ssrc
    uint32_t context
    uint32_t feeder             # context that protects what is to be opened, or 0
    uint32_t port

cdef struct measure_slot:       # of the store
    uint64_t index
    uint32_t flow
    uint32_t len


def measure_ghz():
    """The core's frequency, by a chain of additions. A cycle here is this, never a tick of the time stamp counter."""
    cdef uint64_t best = 0, start, spent, done = 0
    for _ in range(ADD_CHAIN_TRIES):
        start = clock_ns(CLOCK_MONOTONIC)
        done += add_chain(ADD_CHAIN_ROUNDS)
        spent = max(clock_ns(CLOCK_MONOTONIC) - start, <uint64_t>1)
        best = spent if best == 0 else min(best, spent)
    return <double>done / ADD_CHAIN_TRIES / best


cdef class PacketLoop:
    """What the loops share: flows, a store of one chunk of packets, 64 buffers. Made by their subclasses only."""
    cdef list held              # what the flows' contexts belong to
    cdef measure_flow *flows
    cdef uint32_t flow_count
    cdef uint32_t turn          # flow of the next packet
    cdef uint32_t chunk
    cdef uint32_t payload
    cdef uint32_t stride        # of the store
    cdef uint8_t *store
    cdef measure_slot *slots
    cdef uint8_t *content
    cdef uint8_t *buffers
    cdef job_batch jobs
    cdef srtp_packet packets[MEASURE_GROUP]
    cdef uint32_t refused       # packets of the chunk that did not come out, and the verdict of the last of them
    cdef uint8_t verdict

    def __dealloc__(self):
        free(self.flows)
        free(self.store)
        free(self.slots)
        free(self.content)
        if self.buffers != NULL:
            buffers_unmap(self.buffers, MEASURE_GROUP)

    cdef int open_flows(self, Py_ssize_t flows, uint32_t payload, uint32_t chunk, uint64_t first) except -1:
        cdef uint32_t i
        if not 1 <= flows <= MEASURE_CHUNK_MAX:
            raise ValueError(f"1 to {MEASURE_CHUNK_MAX} flows are measured, {flows} given")
        if not 1 <= payload <= MEASURE_PAYLOAD_MAX:
            raise ValueError(f"a payload has 1 to {MEASURE_PAYLOAD_MAX} octets here")
        if not MEASURE_GROUP <= chunk <= MEASURE_CHUNK_MAX or chunk % MEASURE_GROUP:
            raise ValueError(f"a chunk is a multiple of {MEASURE_GROUP} packets, at most {MEASURE_CHUNK_MAX}")
        self.held = []
        self.flow_count = <uint32_t>flows
        self.payload = payload
        self.chunk = chunk
        self.stride = (RTP_HEADER + payload + MEASURE_TAIL + 63) & ~<uint32_t>63
        self.flows = <measure_flow *>calloc(flows, sizeof(measure_flow))
        self.slots = <measure_slot *>calloc(chunk, sizeof(measure_slot))
        self.store = <uint8_t *>calloc(chunk, self.stride)
        self.content = <uint8_t *>malloc(payload)
        self.buffers = buffers_map(MEASURE_GROUP)
        if (
            self.flows == NULL or self.slots == NULL or self.store == NULL or self.content == NULL
            or self.buffers == NULL
        ):
            raise MemoryError("no memory for the packets to measure with")
        for i in range(payload):
            self.content[i] = <uint8_t>mix64(i)
        for i in range(self.flow_count):
            self.flows[i].ssrc = MEASURE_SSRC + i
            self.flows[i].index = first
        return 0

    cdef int use_contexts(self, list contexts) except -1:
        """One for each flow, of one direction."""
        cdef Context context
        cdef Py_ssize_t i
        for i, context in enumerate(contexts):
            context.check()
            if context.sender != (<Context>contexts[0]).sender:
                raise ValueError("senders and receivers are not measured together")
            self.flows[i].context = context.number[RTP]
        self.held.append(contexts)
        return 0

    cdef int use_feeders(self, list feeders) except -1:
        """Senders whose packets the flows' receivers open."""
        cdef Context context
        cdef Py_ssize_t i
        if len(feeders) != self.flow_count:
            raise ValueError(f"{self.flow_count} flows need as many senders, {len(feeders)} given")
        for i, context in enumerate(feeders):
            context.check()
            if not context.sender:
                raise ValueError("a feeder is a sender")
            self.flows[i].feeder = context.number[RTP]
        self.held.append(feeders)
        return 0

    cdef void compose(self, uint32_t slot) noexcept nogil:
        """The next flow's next packet, in clear."""
        cdef measure_flow *flow = &self.flows[self.turn]
        cdef uint8_t *at = self.store + <size_t>slot * self.stride
        self.slots[slot].flow = self.turn
        self.slots[slot].index = flow.index
        self.slots[slot].len = RTP_HEADER + self.payload
        store32(at, <uint32_t>RTP_VERSION_2 << 24 | (<uint32_t>flow.index & 0xFFFF))
        store32(at + 4, <uint32_t>flow.index * self.payload)
        store32(at + 8, flow.ssrc)
        memcpy(at + RTP_HEADER, self.content, self.payload)
        flow.index += 1
        self.turn = self.turn + 1 if self.turn + 1 < self.flow_count else 0

    cdef void prepare(self) noexcept nogil:
        cdef uint32_t group, at
        cdef int i
        cdef bint feed = self.flows[0].feeder != 0
        self.refused = 0
        for group in range(self.chunk // MEASURE_GROUP):
            at = group * MEASURE_GROUP
            for i in range(MEASURE_GROUP):
                self.compose(at + i)
            if not feed:
                continue
            self.lay(at, True)
            protect_batch(self.packets, MEASURE_GROUP, &self.jobs)
            self.count_refused()
            for i in range(MEASURE_GROUP):
                memcpy(self.store + <size_t>(at + i) * self.stride, self.packets[i].data, self.packets[i].len)
                self.slots[at + i].len = self.packets[i].len

    cdef void lay(self, uint32_t at, bint feed) noexcept nogil:
        """64 packets of the store, in buffers of their own and under the context that takes them."""
        cdef measure_flow *flow
        cdef srtp_packet *packet
        cdef int i
        for i in range(MEASURE_GROUP):
            flow = &self.flows[self.slots[at + i].flow]
            packet = &self.packets[i]
            memset(packet, 0, sizeof(srtp_packet))
            packet.data = buffer_data(self.buffers, i)
            packet.len = self.slots[at + i].len
            packet.room = min(<uint32_t>BUFFER_CAPACITY, <uint32_t>ENGINE_FRAME_MAX + SRTP_TAIL_ROOM)
            packet.context = flow.feeder if feed else flow.context
            packet.ssrc = flow.ssrc
            packet.index = self.slots[at + i].index
            memcpy(packet.data, self.store + <size_t>(at + i) * self.stride, packet.len)

    cdef void count_refused(self) noexcept nogil:
        cdef int i
        for i in range(MEASURE_GROUP):
            if self.packets[i].verdict != DROP_NONE:
                self.refused += 1
                self.verdict = self.packets[i].verdict

    cdef void before(self, uint32_t at) noexcept nogil:
        """All of a group that is not to be timed."""
        self.lay(at, False)

    cdef void work(self, uint32_t batch) noexcept nogil:
        """A group through what is measured."""
        pass

    cdef void after(self) noexcept nogil:
        self.count_refused()

    def run(self, uint32_t batch=MEASURE_GROUP):
        """One chunk in batches: nanoseconds in what is measured, in all, and of the thread's CPU time in all.

        ValueError where `batch` does not divide 64; RuntimeError where a packet did not come out."""
        cdef uint64_t spent = 0, start, cpu, begun
        cdef uint32_t group
        if not 1 <= batch <= MEASURE_GROUP or MEASURE_GROUP % batch:
            raise ValueError(f"a batch is 1, 2, 4, 8, 16, 32 or {MEASURE_GROUP} packets")
        with nogil:
            self.prepare()
            cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID)
            begun = clock_ns(CLOCK_MONOTONIC)
            for group in range(self.chunk // MEASURE_GROUP):
                self.before(group * MEASURE_GROUP)
                start = clock_ns(CLOCK_MONOTONIC)
                self.work(batch)
                spent += clock_ns(CLOCK_MONOTONIC) - start
                self.after()
            begun = clock_ns(CLOCK_MONOTONIC) - begun
            cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu
        if self.refused:
            reason = DROP_NAMES[self.verdict]
            raise RuntimeError(f"{self.refused} of {self.chunk} packets did not come out, the last for {reason}")
        return spent, begun, cpu

    @property
    def index(self):
        """The next index that no flow used yet: `first` of another loop over the same contexts."""
        return max(self.flows[i].index for i in range(self.flow_count))

    def octets(self):
        """The 64 packets that were measured last, as they came out."""
        return [(<char *>self.packets[i].data)[:self.packets[i].len] for i in range(MEASURE_GROUP)]


cdef class ContextLoop(PacketLoop):
    """Whole contexts of srtpgw.srtp, of either provider: one for each flow. Receivers need `feeders`, senders of the
    same keys."""
    cdef bint sender

    def __cinit__(self, list contexts not None, uint32_t payload, uint32_t chunk, list feeders not None=[],
                  uint64_t first=1):
        self.open_flows(len(contexts), payload, chunk, first)
        self.use_contexts(contexts)
        self.sender = (<Context>contexts[0]).sender
        if self.sender and feeders:
            raise ValueError("feeders are for receivers")
        if not self.sender:
            self.use_feeders(feeders)

    cdef void work(self, uint32_t batch) noexcept nogil:
        cdef uint32_t at
        for at in range(MEASURE_GROUP // batch):
            if self.sender:
                protect_batch(&self.packets[at * batch], batch, &self.jobs)
            else:
                unprotect_batch(&self.packets[at * batch], batch, &self.jobs, 0)


cdef class KernelLoop(PacketLoop):
    """The kernels alone, under the first keys of native senders. `opens`: unprotect instead of protect.

    `run_address` is a function of another library with the kernels' signature, and `key_addresses` what it finds as the
    key of each flow's job (0 and none: the tier in use)."""
    cdef srtp_run function
    cdef const srtp_key **keys
    cdef srtp_job *pointers[MEASURE_GROUP]
    cdef uint8_t cipher
    cdef bint opens

    def __cinit__(self, list contexts not None, uint32_t payload, uint32_t chunk, bint opens=False,
                  size_t run_address=0, list key_addresses not None=[]):
        cdef size_t address
        cdef uint32_t i
        self.open_flows(len(contexts), payload, chunk, 1)
        self.use_contexts(contexts)
        self.cipher = context_at(self.flows[0].context).cipher
        self.opens = opens
        if key_addresses and len(key_addresses) != self.flow_count:
            raise ValueError(f"{self.flow_count} flows need as many keys, {len(key_addresses)} given")
        for i in range(self.flow_count):
            if context_at(self.flows[i].context).cipher != self.cipher:
                raise ValueError("a kernel takes contexts of one cipher")
            if context_at(self.flows[i].context).flags & CONTEXT_LIBSRTP:
                raise ValueError("a kernel takes native contexts")
        if key_addresses:
            self.keys = <const srtp_key **>calloc(self.flow_count, sizeof(srtp_key *))
            if self.keys == NULL:
                raise MemoryError("no memory for the keys to measure with")
            for i in range(self.flow_count):
                address = key_addresses[i]
                self.keys[i] = <const srtp_key *>address
        self.function = <srtp_run>run_address if run_address else self.own(opens)

    def __dealloc__(self):
        free(self.keys)

    cdef srtp_run own(self, bint opens) noexcept nogil:
        if self.cipher == SRTP_CIPHER_CM:
            return KERNELS.unprotect_cm if opens else KERNELS.protect_cm
        return KERNELS.unprotect_gcm if opens else KERNELS.protect_gcm

    cdef void before(self, uint32_t at) noexcept nogil:
        cdef srtp_packet *packet
        cdef srtp_job *job
        cdef const srtp_context *context
        cdef int i
        self.lay(at, False)
        for i in range(MEASURE_GROUP):
            packet = &self.packets[i]
            job = self.pointers[i] = &self.jobs.jobs[i]
            context = context_at(packet.context)
            job_rtp(context, key_at(context.key[0].number), job, packet.data, RTP_HEADER, packet.len, packet.index,
                    packet.ssrc)
            job.tag = packet.data + packet.len
            job.good = 1
            packet.len += context.tag_len
        if self.opens:
            self.own(False)(self.pointers, MEASURE_GROUP)
        if self.keys != NULL:
            for i in range(MEASURE_GROUP):
                self.pointers[i].key = self.keys[self.slots[at + i].flow]

    cdef void work(self, uint32_t batch) noexcept nogil:
        cdef uint32_t at
        for at in range(MEASURE_GROUP // batch):
            self.function(&self.pointers[at * batch], batch)

    cdef void after(self) noexcept nogil:
        cdef int i
        for i in range(MEASURE_GROUP):
            if not self.pointers[i].good:
                self.packets[i].verdict = DROP_AUTH_FAILED
        self.count_refused()


cdef class RelayLoop(PacketLoop):
    """A worker on the memory engine that has no thread of its own: receive, relay, send and count of one batch.

    `ports` are the numbers (leg * 2 for RTP) where the flows arrive, `source` where they come from, `feeders` the far
    ends' senders where they arrive as SRTP. Legs without a peer are refused packets."""
    cdef Worker worker
    cdef endpoint source

    def __cinit__(self, Worker worker not None, list ports not None, tuple source not None, uint32_t payload,
                  uint32_t chunk, list feeders not None=[], uint64_t first=1):
        cdef uint32_t i
        if worker.state.ops != &engine_memory or worker.running:
            raise ValueError("a worker on the memory engine, without a thread, is measured")
        self.open_flows(len(ports), payload, chunk, first)
        self.worker = worker
        parse_endpoint(&self.source, source)
        for i in range(self.flow_count):
            self.flows[i].port = ports[i]
        if feeders:
            self.use_feeders(feeders)

    def run(self, uint32_t batch=MEASURE_GROUP):
        if batch != MEASURE_GROUP:
            raise ValueError(f"a worker takes what is there: {MEASURE_GROUP} packets")
        return PacketLoop.run(self, batch)

    cdef void prepare(self) noexcept nogil:
        cdef engine_frame frame
        while engine_memory_collect(self.worker.state.engine, &frame, NULL, 0) >= 0:
            pass
        PacketLoop.prepare(self)

    cdef void before(self, uint32_t at) noexcept nogil:
        cdef uint64_t now = realtime_ns()
        cdef const measure_slot *slot
        cdef int i
        for i in range(MEASURE_GROUP):
            slot = &self.slots[at + i]
            if engine_memory_inject(self.worker.state.engine, self.flows[slot.flow].port, &self.source, now,
                                    self.store + <size_t>(at + i) * self.stride, slot.len) != 0:
                self.refused += 1
                self.verdict = DROP_TX_QUEUE_FULL

    cdef void work(self, uint32_t batch) noexcept nogil:
        turn(self.worker.state, 0, 0)

    cdef void after(self) noexcept nogil:
        """What left, and how many did not."""
        cdef engine_frame frame
        cdef int i, length
        for i in range(MEASURE_GROUP):
            self.packets[i].data = buffer_data(self.buffers, i)
            length = engine_memory_collect(self.worker.state.engine, &frame, self.packets[i].data, BUFFER_CAPACITY)
            self.packets[i].len = <uint32_t>max(length, 0)
            if length < 0:
                self.refused += 1
                self.verdict = DROP_NOT_JOINED
