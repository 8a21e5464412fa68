# Arenas: fixed-size records in one mapping each, addressed by number. Number 0 is never given out and means "none".
# A mapping is reserved whole and touched as it fills; records never move. take() and give() hold a spin lock: they
# run when keys, legs or sources come and go.

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
    int madvise(void *addr, size_t length, int advice)
    int mlock(const void *addr, size_t length)
    enum:
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_NORESERVE
        MADV_DONTDUMP
        MADV_WIPEONFORK
        MADV_HUGEPAGE

cdef extern from *:
    """
    #define ARENA_PAGE (2048 * 1024)  /* octets of a large page */
    #define ARENA_LOCK_LEAST (64 * 1024)
    #define ARENA_LINK 4 /* octets into a free record: `live` of no record lies there */
    """
    enum:
        ARENA_PAGE
        ARENA_LOCK_LEAST
        ARENA_LINK

cdef struct arena:
    uint8_t *base
    uint32_t record          # octets
    uint32_t capacity        # records
    uint32_t used            # records ever given out, 0 included
    uint32_t free            # head of the list of returned records, linked at ARENA_LINK
    uint32_t live
    uint32_t lock
    uint8_t secret           # holds key material: locked in memory where the limits allow it
    uint8_t unlocked         # a part could not be locked
    size_t locked            # octets
    size_t lock_step         # octets locked at a time

# Everything native that outlives a packet. One for the process: contexts of the Python API and legs of the
# gateway draw from the same arenas, so that state may move between workers by number.
cdef struct memory:
    uint32_t layout
    arena keys
    arena contexts
    arena streams
    arena wides
    arena legs
    uint64_t random
    void **provider          # libsrtp sessions by context number: process-local, so not in an arena

cdef memory STATE


cdef int arena_open(arena *self, uint32_t record, uint32_t capacity, bint secret, bint large) noexcept:
    """Reserve a mapping that no core dump and no forked child sees. 0, or -1 without memory.

    `large`: filled by large pages, where the system has them to give. Thousands of legs touch more small pages than the
    CPU remembers the addresses of; but the first touch takes longer, and so is not for the packet path."""
    cdef size_t length = (<size_t>record * capacity + 2 * ARENA_PAGE - 1) & ~<size_t>(ARENA_PAGE - 1)
    cdef void *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if base == <void *>-1:
        return -1
    madvise(base, length, MADV_DONTDUMP)
    madvise(base, length, MADV_WIPEONFORK)
    if large:
        madvise(base, length, MADV_HUGEPAGE)
    self.base = <uint8_t *>((<size_t>base + ARENA_PAGE - 1) & ~<size_t>(ARENA_PAGE - 1))
    self.record = record
    self.capacity = capacity
    self.used = 1
    self.free = 0
    self.live = 0
    self.lock = 0
    self.secret = secret
    self.lock_step = ARENA_PAGE
    return 0


cdef inline void *arena_at(const arena *self, uint32_t number) noexcept nogil:
    return self.base + <size_t>number * self.record


cdef inline uint32_t record_number(const arena *self, const void *record) noexcept nogil:
    return <uint32_t>((<const uint8_t *>record - self.base) // self.record)


cdef inline uint32_t *arena_link(const arena *self, uint32_t number) noexcept nogil:
    return <uint32_t *>(<uint8_t *>arena_at(self, number) + ARENA_LINK)


cdef void arena_lock_up_to(arena *self, size_t end) noexcept nogil:
    """Keep key pages out of swap, a step at a time as the arena fills: a limit refuses late, not at start. Steps are
    large pages, which a smaller one would break up, and smaller ones near the limit."""
    while self.locked < end:
        if mlock(self.base + self.locked, self.lock_step) != 0:
            if self.lock_step > ARENA_LOCK_LEAST:
                self.lock_step = ARENA_LOCK_LEAST
                continue
            self.unlocked = 1
        self.locked += self.lock_step


cdef uint32_t arena_take(arena *self) noexcept nogil:
    """A zeroed record's number, or 0 when all are in use."""
    cdef uint32_t number
    spin_lock(&self.lock)
    number = self.free
    if number:
        self.free = arena_link(self, number)[0]
        arena_link(self, number)[0] = 0
    elif self.used < self.capacity:
        number = self.used
        self.used += 1
    if number:
        self.live += 1
    spin_unlock(&self.lock)
    if self.secret and number:
        arena_lock_up_to(self, <size_t>(number + 1) * self.record)
    return number


cdef void arena_give(arena *self, uint32_t number) noexcept nogil:
    """Wipe a record and return it."""
    if number == 0:
        return
    wipe(arena_at(self, number), self.record)
    spin_lock(&self.lock)
    arena_link(self, number)[0] = self.free
    self.free = number
    self.live -= 1
    spin_unlock(&self.lock)


cdef inline srtp_key *key_at(uint32_t number) noexcept nogil:
    return <srtp_key *>arena_at(&STATE.keys, number)


cdef inline srtp_context *context_at(uint32_t number) noexcept nogil:
    return <srtp_context *>arena_at(&STATE.contexts, number)


cdef inline srtp_stream *stream_at(uint32_t number) noexcept nogil:
    if number & STREAM_OWN:
        return &context_at(number & ~STREAM_OWN).own
    return <srtp_stream *>arena_at(&STATE.streams, number)


cdef inline leg_record *leg_at(uint32_t number) noexcept nogil:
    return <leg_record *>arena_at(&STATE.legs, number)


cdef inline uint64_t mix64(uint64_t z) noexcept nogil:
    """The finalizer of splitmix64."""
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef uint64_t random64() noexcept nogil:
    """Unpredictable enough for SSRCs (RFC 3550 8.1), from a seed of the system."""
    return mix64(fetch_add64(&STATE.random, <uint64_t>0x9E3779B97F4A7C15))


cdef int state_open(bytes seed) except -1:
    STATE.layout = STATE_LAYOUT
    STATE.random = int.from_bytes(seed[:8], "big")
    cdef size_t handles = sizeof(void *) * (1 << 18)
    cdef int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    cdef void *provider = mmap(NULL, handles, PROT_READ | PROT_WRITE, flags, -1, 0)
    if (
        provider == <void *>-1
        or arena_open(&STATE.keys, sizeof(srtp_key), 1 << 18, True, True)
        or arena_open(&STATE.contexts, sizeof(srtp_context), 1 << 18, False, True)
        or arena_open(&STATE.streams, sizeof(srtp_stream), 1 << 20, False, False)
        or arena_open(&STATE.wides, sizeof(srtp_wide), 1 << 16, False, False)
        or arena_open(&STATE.legs, sizeof(leg_record), 1 << 17, False, True)
    ):
        raise MemoryError("cannot reserve address space for the gateway's state")
    STATE.provider = <void **>provider
    return 0


cdef dict arena_use(const arena *a):
    return {"live": a.live, "octets": <uint64_t>a.live * a.record, "capacity": a.capacity}


def memory_use():
    """Records in use by arena, their octets, and whether key pages could be locked in memory."""
    arenas = {
        "keys": arena_use(&STATE.keys),
        "contexts": arena_use(&STATE.contexts),
        "streams": arena_use(&STATE.streams),
        "wide-windows": arena_use(&STATE.wides),
        "legs": arena_use(&STATE.legs),
    }
    return {"arenas": arenas, "keys_locked": not STATE.keys.unlocked, "layout": STATE.layout}
