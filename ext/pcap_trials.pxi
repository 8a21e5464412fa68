# Trial authentication: keys to try, packets to try them on, and batches of both for the kernels. Nothing is decrypted.

cdef extern from "crypto/crypto.h" nogil:
    int srtp_equal(const uint8_t *a, const uint8_t *b, size_t length)

cdef enum:
    TRIAL_BATCH = ENGINE_BATCH
    TRIAL_HEAD_ROOM = 64        # octets: kernels may load them
    TRIAL_PACKET_MAX = 65535    # octets
    SHORT_TAG = 4               # octets: one packet in 2^32 has it by chance
    NO_KEY = -1

cdef struct trial_key:
    uint32_t[2] number          # records of the session keys: RTP, RTCP
    uint32_t family             # first entry with the same octets
    uint32_t[2] twin            # first entry that opens the same packets: NULL and AES-CM authenticate alike
    uint8_t suite
    uint8_t mki_len


cdef inline uint8_t trial_tag_length(uint8_t suite, bint rtcp) noexcept nogil:
    return srtp_suites[suite].rtcp_tag_len if rtcp else srtp_suites[suite].rtp_tag_len


cdef class TrialKeys:
    """Master keys to try, each under one suite: (number of the suite, key and salt, MKI or b"").

    Session keys are derived here; they are wiped when the object goes. Its repr tells nothing of them.
    ValueError where lengths are wrong, MemoryError where the arena is full."""
    cdef trial_key *keys
    cdef uint32_t count

    def __cinit__(self, list keys not None):
        cdef dict families = {}, twins = {}
        cdef tuple alike
        cdef trial_key *entry
        cdef int rtcp
        self.keys = <trial_key *>calloc(len(keys) or 1, sizeof(trial_key))
        if self.keys == NULL:
            raise MemoryError("no memory for keys to try")
        for suite, octets, mki in keys:
            self.derive_entry(suite, octets, mki)
            entry = &self.keys[self.count - 1]
            entry.family = families.setdefault(octets, self.count - 1)
            for rtcp in range(2):
                alike = (octets, mki, srtp_suites[entry.suite].cipher, trial_tag_length(entry.suite, rtcp), rtcp)
                entry.twin[rtcp] = twins.setdefault(alike, self.count - 1)

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.count):
            arena_give(&STATE.keys, self.keys[i].number[RTP])
            arena_give(&STATE.keys, self.keys[i].number[RTCP])
        free(self.keys)

    def __len__(self):
        return self.count

    def __reduce__(self):
        raise TypeError("keys cannot be pickled")

    cdef int derive_entry(self, suite, bytes octets, bytes mki) except -1:
        cdef trial_key *entry = &self.keys[self.count]
        cdef const srtp_suite *table
        cdef int rtcp
        if not 0 <= suite < SRTP_SUITE_COUNT:
            raise ValueError(f"there is no suite {suite}")
        table = &srtp_suites[<int>suite]
        if octets is None or len(octets) != table.key_len + table.salt_len:
            raise ValueError(f"{table.name.decode()} takes {table.key_len} octets of key and {table.salt_len} of salt")
        if mki is None or len(mki) > SRTP_MKI_MAX:
            raise ValueError(f"a master key identifier has at most {SRTP_MKI_MAX} octets")
        entry.suite = suite
        entry.mki_len = <uint8_t>len(mki)
        self.count += 1  # from here on what was taken is given back
        for rtcp in range(2):
            entry.number[rtcp] = make_derived_key(table, <const uint8_t *><const char *>octets, rtcp)
            if entry.number[rtcp] == 0:
                raise MemoryError("no room for another SRTP key")
            key_at(entry.number[rtcp]).mki_len = entry.mki_len
            memcpy(key_at(entry.number[rtcp]).mki, <const char *>mki, len(mki))
        return 0

    cdef inline uint32_t rtp(self, uint32_t i) noexcept nogil:
        """Number of the key record for SRTP."""
        return self.keys[i].number[RTP]

    cdef inline uint32_t rtcp(self, uint32_t i) noexcept nogil:
        """Number of the key record for SRTCP."""
        return self.keys[i].number[RTCP]

    cdef inline uint8_t suite(self, uint32_t i) noexcept nogil:
        """Its number in the table of suites."""
        return self.keys[i].suite


# A packet to try keys on, as captured.
cdef struct trial_sample:
    uint8_t *data
    uint32_t len
    uint32_t header             # RTP: octets up to the payload
    uint32_t ssrc
    uint32_t stream
    uint32_t place              # among the samples of the stream, as given
    uint16_t sequence
    uint8_t rtcp
    uint8_t usable
    uint8_t mki_guess           # octets of an MKI that no key entry tells, under which `key` opens it
    int32_t key                 # that opens it, or NO_KEY
    uint32_t roc

cdef struct trial:
    uint32_t sample
    uint32_t key
    uint32_t roc


cdef bint measure_sample(trial_sample *sample) noexcept nogil:
    """Whether the octets can be a whole packet; fills what its header says."""
    if sample.rtcp:
        if sample.len < RTCP_HEADER or sample.data[0] >> 6 != 2:
            return False
        sample.ssrc = load32(sample.data + 4)
        return True
    sample.header = rtp_header_length(sample.data, sample.len)
    if sample.header == 0:
        return False
    sample.ssrc = rtp_ssrc(sample.data)
    sample.sequence = rtp_sequence(sample.data)
    return True


cdef class Trials:
    """Samples, keys, and one batch of trials of the ones under the others."""
    cdef TrialKeys keys
    cdef trial_sample *samples
    cdef uint32_t sample_count
    cdef uint8_t *room          # what the samples' octets lie in
    cdef list contexts          # numbers, to give them back
    cdef uint32_t[SRTP_SUITE_COUNT][2] context  # RTP and RTCP of each suite: parameters for job_rtp() and job_rtcp()
    cdef job_batch jobs
    cdef trial[TRIAL_BATCH] pending
    cdef uint32_t count         # of pending
    cdef uint32_t mki_guess     # octets of an MKI that packets are taken to carry, beyond what the key entry says
    cdef uint64_t done          # trials so far

    def __cinit__(self, *args, **options):
        self.contexts = []

    def __dealloc__(self):
        cdef uint32_t number
        for number in self.contexts:
            arena_give(&STATE.contexts, number)
        free(self.samples)
        free(self.room)

    cdef int open_trials(self, TrialKeys keys, list streams) except -1:
        """Copy the samples of (RTCP, [octets]) to where kernels may run over them."""
        cdef size_t octets = 0, count = 0
        self.keys = keys
        for _, packets in streams:
            for packet in packets:
                count += 1
                octets += TRIAL_HEAD_ROOM + SRTP_TAIL_ROOM + min(len(packet), TRIAL_PACKET_MAX)
        self.samples = <trial_sample *>calloc(count + 1, sizeof(trial_sample))
        self.room = <uint8_t *>calloc(octets + 1, 1)
        if self.samples == NULL or self.room == NULL:
            raise MemoryError("no memory for the packets to try keys on")
        octets = 0
        for number, (rtcp, packets) in enumerate(streams):
            for place, packet in enumerate(packets):
                octets += self.take_sample(number, place, rtcp, packet, self.room + octets)
        return self.open_contexts()

    cdef size_t take_sample(self, uint32_t stream, uint32_t place, bint rtcp, bytes octets,
                            uint8_t *room) except 0:
        """Octets of room used."""
        cdef trial_sample *sample = &self.samples[self.sample_count]
        sample.len = <uint32_t>min(len(octets), TRIAL_PACKET_MAX)
        sample.data = room + TRIAL_HEAD_ROOM
        memcpy(sample.data, <const char *>octets, sample.len)
        sample.rtcp = rtcp
        sample.stream = stream
        sample.place = place
        sample.key = NO_KEY
        sample.usable = len(octets) <= TRIAL_PACKET_MAX and measure_sample(sample)
        self.sample_count += 1
        return TRIAL_HEAD_ROOM + SRTP_TAIL_ROOM + sample.len

    cdef int open_contexts(self) except -1:
        cdef dict options = {
            "window": WINDOW_BITS, "max_ssrcs": 1, "roc": 0, "srtcp_index": 0, "sender": False, "foreign": False,
            "authenticate_rtp": True, "encrypt_rtp": True, "encrypt_rtcp": True, "roc_hints": (),
        }
        cdef int suite, rtcp
        for suite in range(SRTP_SUITE_COUNT):
            for rtcp in range(2):
                number = take_context(&srtp_suites[suite], suite, rtcp, options)
                self.contexts.append(number)
                self.context[suite][rtcp] = number
                set_verify(context_at(number), True)
        return 0

    cdef inline bint mki_fits(self, const trial_sample *sample, const srtp_key *key, uint32_t behind) noexcept nogil:
        """Whether the packet carries the key's MKI, `behind` octets before its end."""
        return not key.mki_len or not memcmp(sample.data + sample.len - behind, key.mki, key.mki_len)

    cdef bint fill(self, const trial_sample *sample, uint32_t entry, uint32_t roc, srtp_job *job) noexcept nogil:
        """The job of a sample under a key; False where the packet is too short or has another MKI."""
        cdef const trial_key *wanted = &self.keys.keys[entry]
        cdef const srtp_context *context = context_at(self.context[wanted.suite][sample.rtcp])
        cdef const srtp_key *key = key_at(wanted.number[sample.rtcp])
        cdef uint32_t mki_len = wanted.mki_len + self.mki_guess
        cdef uint32_t trailer = context.tag_len + mki_len
        cdef bint gcm = context.cipher == SRTP_CIPHER_GCM
        cdef uint32_t end
        if sample.rtcp:
            if sample.len < RTCP_HEADER + trailer + 4:
                return False
            end = sample.len - trailer - 4
        else:
            if sample.len < sample.header + trailer:
                return False
            end = sample.len - trailer
        if not self.mki_fits(sample, key, mki_len if gcm else trailer):
            return False
        if sample.rtcp:
            job_rtcp(context, key, job, sample.data, end,
                     load32(sample.data + end + (<uint32_t>SRTP_GCM_TAG_LEN if gcm else 0)), sample.ssrc)
        else:
            job_rtp(context, key, job, sample.data, sample.header, end, <uint64_t>roc << 16 | sample.sequence,
                    sample.ssrc)
        job.tag = sample.data + (end if gcm else sample.len - context.tag_len)
        return True

    cdef inline void put(self, uint32_t sample, uint32_t key, uint32_t roc) noexcept nogil:
        """Add a trial to the batch, which must not be full."""
        cdef srtp_job *job = &self.jobs.jobs[self.count]
        cdef trial *t = &self.pending[self.count]
        if not self.samples[sample].usable or not self.fill(&self.samples[sample], key, roc, job):
            return
        t.sample = sample
        t.key = key
        t.roc = roc
        batch_add(&self.jobs, job, srtp_suites[self.keys.keys[key].suite].cipher)
        self.count += 1

    cdef uint32_t run_batch(self, trial *hits) noexcept nogil:
        """Try what is pending. How many opened, and which."""
        cdef uint32_t i, found = 0
        if self.jobs.cm_count:
            KERNELS.unprotect_cm(self.jobs.cm, self.jobs.cm_count)
        if self.jobs.gcm_count:
            KERNELS.unprotect_gcm(self.jobs.gcm, self.jobs.gcm_count)
        for i in range(self.count):
            if self.jobs.jobs[i].good:
                hits[found] = self.pending[i]
                found += 1
        self.done += self.count
        self.count = 0
        batch_start(&self.jobs)
        return found
