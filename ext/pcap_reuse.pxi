# Keystream used twice: the same key, SSRC and index over different octets. Streams that could do it to each other, and
# those that are said to have begun anew under one key, share a group; here is what each index of a group carried.
# The same octets again are a copy, as on another interface of the capture.

cdef enum:
    REUSE_FRAMES = 8            # pairs of frames told of a group
    REUSE_LEAST = 1 << 10
    REUSE_MOST = 1 << 23        # entries, half of which are used: 200 MB at most, and touched as they fill

cdef struct reuse_entry:
    uint64_t place              # group and index
    uint64_t hash               # of the packet
    uint64_t frame              # 0: free

cdef struct reuse_group:
    uint64_t copies
    uint64_t reused
    uint64_t unchecked          # no room was left
    uint64_t[2 * REUSE_FRAMES] frames   # the first packet, and that which used its keystream again
    uint32_t told


cdef class ReuseTable:
    """What was sent under each index of the groups. Groups are numbered from 1 on."""
    cdef reuse_entry *entries
    cdef reuse_group *groups
    cdef uint64_t mask
    cdef uint64_t count
    cdef uint64_t seed
    cdef uint32_t group_count

    def __cinit__(self, uint32_t groups, uint64_t packets):
        cdef uint64_t size = REUSE_LEAST
        while size < 2 * packets and size < REUSE_MOST:
            size <<= 1
        self.group_count = groups
        self.mask = size - 1
        self.seed = random64()
        self.entries = <reuse_entry *>calloc(size, sizeof(reuse_entry))
        self.groups = <reuse_group *>calloc(groups + 1, sizeof(reuse_group))
        if self.entries == NULL or self.groups == NULL:
            raise MemoryError("no memory to look for keystream that was used twice")

    def __dealloc__(self):
        free(self.entries)
        free(self.groups)

    cdef reuse_entry *entry_of(self, uint64_t place) noexcept nogil:
        """That of the place, or a free one."""
        cdef uint64_t at = mix64(place ^ self.seed) & self.mask
        while self.entries[at].frame and self.entries[at].place != place:
            at = (at + 1) & self.mask
        return &self.entries[at]

    cdef void take(self, uint32_t number, uint64_t index, uint64_t hash, uint64_t frame) noexcept nogil:
        """An authentic packet of a group."""
        cdef reuse_group *group = &self.groups[number]
        # groups share a place only where there are more than 2^16 and their indices pass 2^48: neither happens
        cdef uint64_t place = <uint64_t>number << 48 ^ index
        cdef reuse_entry *entry = self.entry_of(place)
        if entry.frame == 0:
            if self.count > self.mask >> 1:
                group.unchecked += 1
                return
            entry.place = place
            entry.hash = hash
            entry.frame = frame
            self.count += 1
        elif entry.hash == hash:
            group.copies += 1
        else:
            group.reused += 1
            if group.told < REUSE_FRAMES:
                group.frames[2 * group.told] = entry.frame
                group.frames[2 * group.told + 1] = frame
                group.told += 1

    cdef dict result(self, uint32_t number):
        cdef const reuse_group *group = &self.groups[number]
        pairs = [(group.frames[2 * i], group.frames[2 * i + 1]) for i in range(group.told)]
        return {"copies": group.copies, "reused": group.reused, "unchecked": group.unchecked, "frames": pairs}
