# The search for the rollover counter of captures that begin in mid-call, cheapest and likeliest first:
#
#     1 to 3 under every key; all 65,536 under hinted keys; up to 255 under every key, then the rest
#
# Streams of a few packets come last, and get a small share of the trials: anybody can send a port packets under
# thousands of SSRCs.
#
# Each is tried on the first sample of a stream of which nothing opened, under hinted keys on the last one, too. With
# AES-CM a trial is the HMAC of the packet, 16 of them side by side in the kernels. With GCM only the block that masks
# the tag depends on the counter (RFC 7714 9.1, SP 800-38D 7.1): the hash is worked out once for a key and packet.

cdef enum:
    LONG_CALL_ROCS = 256        # rollovers: 93 hours of 50 packets a second
    ROC_END = 1 << 16
    REST_TRIALS = 1 << 22
    FEW_SAMPLES = 4             # fewer show that the stream had no more packets
    FEW_TRIALS = 1 << 22        # for all streams of few packets
    GCM_IV = 12                 # octets


cdef int search_rollovers(KeyMatch self) except -1 nogil:
    search_streams(self, False)
    search_rest(self)
    self.budget = min(self.budget, <uint64_t>FEW_TRIALS)
    search_streams(self, True)
    return 0


cdef int search_streams(KeyMatch self, bint few) except -1 nogil:
    """Streams of few packets, or the others."""
    self.stage = 5
    search_hinted(self, few, 1, EARLY_ROCS)
    search_all(self, few, 1, EARLY_ROCS)
    self.stage = 6
    search_hinted(self, few, EARLY_ROCS, ROC_END)
    self.stage = 7
    search_all(self, few, EARLY_ROCS, LONG_CALL_ROCS)
    search_all(self, few, LONG_CALL_ROCS, ROC_END)
    return 0


cdef int search_hinted(KeyMatch self, bint few, uint32_t first, uint32_t end) except -1 nogil:
    """The rollover counters from `first` up to `end` under the keys that signaling names."""
    cdef trial_stream *stream
    cdef uint32_t number
    for self.turn in range(self.stream_count):
        stream = &self.streams[self.turn]
        if not stream.rtcp and stream.hint_count and (stream.count < FEW_SAMPLES) == few:
            for number in range(min(stream.count, <uint32_t>2)):
                if not stream.opened:
                    search_keys(self, stream.first + nth_sample(number, stream.count), self.hints + stream.hint,
                                stream.hint_count, first, end, True)
    return 0


cdef int search_all(KeyMatch self, bint few, uint32_t first, uint32_t end) except -1 nogil:
    """The same under every key."""
    cdef trial_stream *stream
    for self.turn in range(self.stream_count):
        stream = &self.streams[self.turn]
        if not stream.rtcp and not stream.opened and stream.count and (stream.count < FEW_SAMPLES) == few:
            search_keys(self, stream.first, self.order[RTP].keys, self.order[RTP].count, first, end, False)
            if not stream.opened and self.budget == 0:
                stream.unsearched = self.order[RTP].count > 0
    return 0


cdef int search_rest(KeyMatch self) except -1 nogil:
    """Samples that nothing opened of streams of which something did: another key may have come with another counter.
    More likely such a packet is under no key at all, so few trials go into it."""
    cdef uint64_t kept = self.budget
    cdef uint64_t some = min(kept, <uint64_t>REST_TRIALS)
    cdef const uint32_t *keys
    cdef trial_stream *stream
    cdef uint32_t i, count
    self.budget = some
    for self.turn in range(self.stream_count):
        stream = &self.streams[self.turn]
        if stream.rtcp or stream.opened == 0:
            continue
        count = self.likely_keys(stream, &keys)
        for i in range(stream.first, stream.first + stream.count):
            if self.samples[i].key == NO_KEY:
                search_keys(self, i, self.order[RTP].keys, self.order[RTP].count, 1, EARLY_ROCS, False)
            if self.samples[i].key == NO_KEY:
                search_keys(self, i, keys, count, EARLY_ROCS, ROC_END, True)
    self.budget = kept - some + self.budget
    return 0


cdef int search_keys(KeyMatch self, uint32_t sample, const uint32_t *keys, uint32_t count, uint32_t first, uint32_t end,
                     bint hinted) except -1 nogil:
    """Whether one of the keys opens a sample at a rollover counter from `first` up to `end`."""
    cdef uint32_t i
    cdef int found
    for i in range(count):
        if self.budget == 0:
            break
        if srtp_suites[self.keys.keys[keys[i]].suite].cipher == SRTP_CIPHER_GCM:
            found = search_gcm(self, sample, keys[i], first, end, hinted)
        else:
            found = search_cm(self, sample, keys[i], first, end, hinted)
        if found:
            return True
    return self.flush(hinted)


cdef int search_cm(KeyMatch self, uint32_t sample, uint32_t key, uint32_t first, uint32_t end,
                   bint hinted) except -1 nogil:
    """Whether a batch on the way told of a hit: what is left in the batch goes along with the next key's."""
    cdef uint32_t roc, before
    for roc in range(first, end):
        if self.budget == 0:
            return False
        before = self.count
        self.put(sample, key, roc)
        if self.count == before:  # too short for this suite, or another MKI
            return False
        self.budget -= 1
        if self.count == TRIAL_BATCH and self.flush(hinted):
            return True
    return False


cdef inline void tag_block(const srtp_job *job, uint8_t *block) noexcept nogil:
    """What GCM masks the tag with: the first counter block, encrypted."""
    cdef uint8_t[16] counter
    memcpy(counter, job.iv, GCM_IV)
    store32(counter + GCM_IV, 1)
    KERNELS.keystream(job.key, counter, block, sizeof(counter))


cdef void wanted_block(KeyMatch self, const trial_sample *sample, srtp_job *job, uint8_t *wanted) noexcept nogil:
    """What tag_block() gives at the right rollover counter: the packet's tag without its hash.

    A copy is encrypted twice, which gives the octets as they are, and for them a tag of a known counter."""
    cdef srtp_job *jobs
    cdef srtp_job trial = job[0]
    cdef uint32_t i
    memcpy(self.scratch + TRIAL_HEAD_ROOM, sample.data, sample.len)
    trial.data = self.scratch + TRIAL_HEAD_ROOM
    trial.tag = trial.data + (job.tag - job.data)
    jobs = &trial
    KERNELS.protect_gcm(&jobs, 1)
    KERNELS.protect_gcm(&jobs, 1)
    tag_block(job, wanted)
    for i in range(<uint32_t>SRTP_GCM_TAG_LEN):
        wanted[i] ^= trial.tag[i] ^ job.tag[i]


cdef int search_gcm(KeyMatch self, uint32_t sample, uint32_t key, uint32_t first, uint32_t end,
                    bint hinted) except -1 nogil:
    cdef trial_sample *packet = &self.samples[sample]
    cdef uint8_t[16] wanted
    cdef uint8_t[16] block
    cdef srtp_job job
    cdef trial hit
    cdef uint32_t roc
    if not packet.usable or not self.fill(packet, key, 0, &job):
        return False
    if self.flush(hinted):  # settle() uses the batch
        return True
    wanted_block(self, packet, &job, wanted)
    for roc in range(first, end):
        if self.budget == 0:
            return False
        self.budget -= 1
        self.done += 1
        iv_gcm(&job, packet.ssrc, roc, packet.sequence)
        tag_block(&job, block)
        if srtp_equal(block, wanted, sizeof(block)):
            hit.sample, hit.key, hit.roc = sample, key, roc
            return self.settle(&hit, hinted)
        if roc % TRIAL_BATCH == 0:
            self.tell()
    return False
