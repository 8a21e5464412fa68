# Keys matched to streams: which key opens which sample, and at which rollover counter.
#
#     hinted keys first, then every key, unused ones before those that opened something; all at ROC 0
#     SRTCP carries its index: what opens it is a hint for the RTP of the same SSRC
#     ROC 1 to 3; an MKI of unknown length; then all 65,536 rollover counters (pcap_rocs.pxi)
#
# Addresses are not looked at: a key is known by what it opens.

cdef enum:
    NEAR_ROCS = 16              # rollovers looked for between two samples of one stream
    EARLY_ROCS = 4              # 0 to 3 are tried before any search
    TELL_EVERY = 1 << 15        # trials between two looks at signals and progress
    ROUNDS = 8                  # samples of a stream that are tried under every key
    ROUNDS_OFTEN = 3            # the first of them may take more
    ROUND_TRIALS = 1 << 20      # for streams of which nothing opened so far
    ROUND_TRIALS_OFTEN = 1 << 25
    STAGES = 9
    FEW_KEYS = 16               # so many are tried in unlikely ways, too, where nothing hints at some of them

# Octets of an MKI that a key file does not tell of
cdef uint8_t[5] MKI_GUESSES = [1, 2, 4, 8, 3]

cdef struct trial_stream:
    uint32_t first              # sample
    uint32_t count
    uint32_t opened             # samples that some key opens
    uint32_t hint
    uint32_t hint_count
    uint8_t rtcp
    uint8_t unsearched          # the budget ended before all rollover counters were tried

# Keys in the order in which they are tried: the first `unused` opened nothing yet.
cdef struct trial_order:
    uint32_t *keys
    uint32_t *place             # of each key in `keys`
    uint32_t count
    uint32_t unused


cdef int order_open(trial_order *self, TrialKeys keys, bint rtcp) except -1:
    """Every key but those that open what an earlier one opens."""
    cdef uint32_t i
    self.keys = <uint32_t *>calloc(keys.count + 1, sizeof(uint32_t))
    self.place = <uint32_t *>calloc(keys.count + 1, sizeof(uint32_t))
    if self.keys == NULL or self.place == NULL:
        raise MemoryError("no memory for keys to try")
    for i in range(keys.count):
        if keys.keys[i].twin[rtcp] == i:
            self.place[i] = self.count
            self.keys[self.count] = i
            self.count += 1
    self.unused = self.count
    return 0


cdef void order_used(trial_order *self, uint32_t key) noexcept nogil:
    """This key opened something: it goes behind those that did not."""
    cdef uint32_t place = self.place[key], last
    if place >= self.unused:
        return
    self.unused -= 1
    last = self.keys[self.unused]
    self.keys[place] = last
    self.place[last] = place
    self.keys[self.unused] = key
    self.place[key] = self.unused


cdef class KeyMatch(Trials):
    """One run of find_keys()."""
    cdef trial_stream *streams
    cdef uint32_t stream_count
    cdef uint32_t *hints
    cdef trial_order[2] order   # RTP, RTCP
    cdef object progress
    cdef uint64_t told          # trials at the last look at signals
    cdef uint64_t shown         # progress, in turns of streams in stages
    cdef uint32_t stage
    cdef uint32_t turn          # stream at work
    cdef uint64_t budget        # trials at other rollover counters than 0 that are left
    cdef uint8_t *scratch       # a sample's copy that is encrypted (pcap_rocs.pxi)

    def __cinit__(self, TrialKeys keys not None, list streams not None, list hints not None, uint64_t budget, progress):
        cdef uint32_t first = 0
        if len(hints) != len(streams):
            raise ValueError(f"{len(streams)} streams need as many lists of hints, {len(hints)} given")
        self.budget = budget
        self.progress = progress
        self.open_trials(keys, streams)
        self.streams = <trial_stream *>calloc(len(streams) + 1, sizeof(trial_stream))
        self.scratch = <uint8_t *>calloc(TRIAL_HEAD_ROOM + TRIAL_PACKET_MAX + SRTP_TAIL_ROOM, 1)
        if self.streams == NULL or self.scratch == NULL:
            raise MemoryError("no memory for the streams to match")
        for rtcp, packets in streams:
            self.streams[self.stream_count].rtcp = bool(rtcp)
            self.streams[self.stream_count].first = first
            self.streams[self.stream_count].count = len(packets)
            first += len(packets)
            self.stream_count += 1
        order_open(&self.order[RTP], keys, False)
        order_open(&self.order[RTCP], keys, True)
        self.take_hints(hints)

    def __dealloc__(self):
        cdef int rtcp
        for rtcp in range(2):
            free(self.order[rtcp].keys)
            free(self.order[rtcp].place)
        free(self.streams)
        free(self.hints)
        free(self.scratch)

    cdef int take_hints(self, list hints) except -1:
        """Keys to try first, for each stream, each once."""
        cdef uint32_t at = 0, i
        hints = [list(dict.fromkeys(some)) for some in hints]
        free(self.hints)
        self.hints = <uint32_t *>calloc(sum(map(len, hints)) + 1, sizeof(uint32_t))
        if self.hints == NULL:
            raise MemoryError("no memory for hints")
        for i, some in enumerate(hints):
            self.streams[i].hint = at
            self.streams[i].hint_count = len(some)
            for key in some:
                if not 0 <= key < self.keys.count:
                    raise ValueError(f"a hint names key {key}, and there are {self.keys.count}")
                self.hints[at] = key
                at += 1
        return 0

    # --- trials, and what they tell

    cdef int tell(self) except -1 nogil:
        """Now and then: let a signal through, and tell how far it is."""
        cdef uint64_t turns = <uint64_t>self.stage * self.stream_count + self.turn
        if self.done - self.told < TELL_EVERY:
            return 0
        self.told = self.done
        self.shown = max(self.shown, turns)
        with gil:
            PyErr_CheckSignals()
            if self.progress is not None:
                self.progress(self.shown, STAGES * self.stream_count)
        return 0

    cdef void open_sample(self, uint32_t number, uint32_t key, uint32_t roc) noexcept nogil:
        cdef trial_sample *sample = &self.samples[number]
        if sample.key == NO_KEY:
            self.streams[sample.stream].opened += 1
        sample.key = <int32_t>key
        sample.roc = roc
        sample.mki_guess = <uint8_t>self.mki_guess

    cdef bint near(self, uint32_t number, uint32_t key, uint32_t roc, int64_t step) noexcept nogil:
        """Whether a sample opens under a key at this rollover counter, one beside it, or some further on (step 1) or
        back (step -1)."""
        cdef trial[TRIAL_BATCH] hits
        cdef int64_t i, guess
        self.put(number, key, roc)
        if not self.samples[number].rtcp:
            if roc < <uint32_t>0xFFFFFFFF:
                self.put(number, key, roc + 1)
            if roc > 0:
                self.put(number, key, roc - 1)
            if self.run_batch(hits) == 0:
                for i in range(2, NEAR_ROCS + 1):
                    guess = <int64_t>roc + step * i
                    if 0 <= guess <= <int64_t>0xFFFFFFFF:
                        self.put(number, key, <uint32_t>guess)
                if self.run_batch(hits) == 0:
                    return False
        elif self.run_batch(hits) == 0:
            return False
        self.open_sample(number, key, hits[0].roc)
        return True

    cdef uint32_t spread(self, const trial *hit) noexcept nogil:
        """Try the key on the other samples of the stream, from the one that it opened on forth and back. How many more
        it opens."""
        cdef trial_stream *stream = &self.streams[self.samples[hit.sample].stream]
        cdef uint32_t i, roc = hit.roc, found = 0
        for i in range(hit.sample + 1, stream.first + stream.count):
            if self.samples[i].key == NO_KEY and self.near(i, hit.key, roc, 1):
                roc = self.samples[i].roc
                found += 1
        roc = hit.roc
        for i in range(hit.sample - stream.first):
            if self.samples[hit.sample - 1 - i].key == NO_KEY and self.near(hit.sample - 1 - i, hit.key, roc, -1):
                roc = self.samples[hit.sample - 1 - i].roc
                found += 1
        return found

    cdef bint settle(self, const trial *hit, bint hinted) noexcept nogil:
        """Take a key that opens a sample. A short tag can be right by chance: then another sample must open, too,
        unless there is none, or this was expected."""
        cdef trial_sample *sample = &self.samples[hit.sample]
        cdef trial_stream *stream = &self.streams[sample.stream]
        cdef const trial_key *key = &self.keys.keys[hit.key]
        cdef uint32_t others = self.spread(hit)
        cdef uint32_t least = 1 if hit.roc < EARLY_ROCS else 0
        if trial_tag_length(key.suite, sample.rtcp) == SHORT_TAG and not others and not (hinted and hit.roc == 0):
            if stream.count > least:
                return False
        self.open_sample(hit.sample, hit.key, hit.roc)
        if self.order[sample.rtcp].count:
            order_used(&self.order[sample.rtcp], key.twin[sample.rtcp])
        return True

    cdef int flush(self, bint hinted) except -1 nogil:
        """Try what is pending. Whether a key was taken."""
        cdef trial[TRIAL_BATCH] hits
        cdef uint32_t found = self.run_batch(hits), i
        self.tell()
        for i in range(found):
            if self.settle(&hits[i], hinted):
                return True
        return False

    cdef int try_keys(self, uint32_t sample, const uint32_t *keys, uint32_t count, uint32_t roc,
                      bint hinted) except -1 nogil:
        """Whether one of the keys opens a sample at a rollover counter."""
        cdef uint32_t i
        for i in range(count):
            self.put(sample, keys[i], roc)
            if self.count == TRIAL_BATCH and self.flush(hinted):
                return True
        return self.flush(hinted)

    # --- stages

    cdef int try_hints(self, bint rtcp) except -1 nogil:
        """Every sample under the keys that signaling names, at ROC 0."""
        cdef trial_stream *stream
        cdef uint32_t i
        for self.turn in range(self.stream_count):
            stream = &self.streams[self.turn]
            if stream.rtcp != rtcp or stream.hint_count == 0:
                continue
            for i in range(stream.first, stream.first + stream.count):
                if self.samples[i].key == NO_KEY:
                    self.try_keys(i, self.hints + stream.hint, stream.hint_count, 0, True)
        return 0

    cdef bint round_pays(self, uint32_t number, bint rtcp) noexcept nogil:
        """Whether streams of which nothing opened are to be tried by one more sample."""
        cdef uint64_t most = ROUND_TRIALS_OFTEN if number < ROUNDS_OFTEN else ROUND_TRIALS
        cdef uint64_t pairs = 0
        cdef uint32_t i
        for i in range(self.stream_count):
            if self.streams[i].rtcp == rtcp and not self.streams[i].opened:
                pairs += self.order[rtcp].count
        return number == 0 or pairs <= most

    cdef int try_all(self, bint rtcp) except -1 nogil:
        """Every sample that is left under every key, at ROC 0: the first of each stream, the last, the one in the
        middle, and so on."""
        cdef trial_stream *stream
        cdef uint32_t sample
        cdef int number
        cdef bint pays
        for number in range(ROUNDS):
            pays = self.round_pays(number, rtcp)
            for self.turn in range(self.stream_count):
                stream = &self.streams[self.turn]
                if stream.rtcp != rtcp or <uint32_t>number >= stream.count or not (pays or stream.opened):
                    continue
                sample = stream.first + nth_sample(number, stream.count)
                if self.samples[sample].key == NO_KEY:
                    self.try_keys(sample, self.order[rtcp].keys, self.order[rtcp].count, 0, False)
        return 0

    cdef int try_rekeyed(self) except -1 nogil:
        """A re-key keeps the rollover counter (RFC 3711 3.3.1), or the sender starts over (RFC 4568 7.1.4): samples
        among others that opened, under every key, at the counter of the sample before or behind them."""
        cdef trial_stream *stream
        cdef uint32_t[3] rocs
        cdef uint32_t i
        cdef int at
        for self.turn in range(self.stream_count):
            stream = &self.streams[self.turn]
            if stream.rtcp or stream.opened == 0 or stream.opened == stream.count:
                continue
            for i in range(stream.first, stream.first + stream.count):
                rocs[0] = self.neighbour_roc(stream, i)
                rocs[1] = rocs[0] + 1
                rocs[2] = 0
                for at in range(3 if rocs[0] else 2):
                    if self.samples[i].key == NO_KEY:
                        self.try_keys(i, self.order[RTP].keys, self.order[RTP].count, rocs[at], False)
        return 0

    cdef uint32_t neighbour_roc(self, const trial_stream *stream, uint32_t number) noexcept nogil:
        cdef uint32_t i
        for i in range(1, number - stream.first + 1):
            if self.samples[number - i].key != NO_KEY:
                return self.samples[number - i].roc
        for i in range(number + 1, stream.first + stream.count):
            if self.samples[i].key != NO_KEY:
                return self.samples[i].roc
        return 0

    cdef uint32_t likely_keys(self, const trial_stream *stream, const uint32_t **keys) noexcept nogil:
        """Those that signaling names, or all where they are few. How many."""
        keys[0] = self.hints + stream.hint
        if stream.hint_count == 0 and self.order[RTP].count <= FEW_KEYS:
            keys[0] = self.order[RTP].keys
            return self.order[RTP].count
        return stream.hint_count

    cdef int guess_mki(self) except -1 nogil:
        """Packets that carry an MKI which no key entry tells."""
        cdef trial_stream *stream
        cdef const uint32_t *keys
        cdef uint32_t guess, count, number
        for self.turn in range(self.stream_count):
            stream = &self.streams[self.turn]
            count = self.likely_keys(stream, &keys)
            for guess in range(sizeof(MKI_GUESSES)):
                for number in range(min(stream.count, <uint32_t>2)):
                    if not stream.rtcp and not stream.opened:
                        self.mki_guess = MKI_GUESSES[guess]
                        self.try_unnamed(stream.first + nth_sample(number, stream.count), keys, count)
            self.mki_guess = 0
        return 0

    cdef int try_unnamed(self, uint32_t sample, const uint32_t *keys, uint32_t count) except -1 nogil:
        """As try_keys(), of the keys that have no MKI."""
        cdef uint32_t i
        for i in range(count):
            if self.keys.keys[keys[i]].mki_len == 0:
                self.put(sample, keys[i], 0)
            if self.count == TRIAL_BATCH and self.flush(False):
                return True
        return self.flush(False)

    # --- the whole

    cdef list hints_by_ssrc(self, list hints):
        """A key that opens the SRTCP of an SSRC is likely the one of its RTP, under one of the key's suites."""
        cdef dict families = {}, members = {}
        cdef uint32_t i
        for i in range(self.sample_count):
            if self.samples[i].rtcp and self.samples[i].key != NO_KEY:
                found = self.keys.keys[self.samples[i].key].family
                families.setdefault(self.samples[i].ssrc, {})[found] = None
        if not families:
            return hints
        for i in range(self.keys.count):
            members.setdefault(self.keys.keys[i].family, []).append(i)
        fresh = []
        for i, some in enumerate(hints):
            ssrc = self.samples[self.streams[i].first].ssrc if self.streams[i].count else None
            mine = families.get(ssrc, {}) if not self.streams[i].rtcp else {}
            fresh.append([*some, *(member for family in mine for member in members[family])])
        return fresh

    def run(self, list hints not None):
        """(matches, what else is to be told): see find_keys()."""
        with nogil:
            self.try_hints(True)
            self.stage = 1
            self.try_all(True)
        self.take_hints(self.hints_by_ssrc(hints))
        with nogil:
            self.stage = 2
            self.try_hints(False)
            self.stage = 3
            self.try_all(False)
            self.stage = 4
            self.guess_mki()
            search_rollovers(self)
            self.stage = 8
            self.try_rekeyed()
        if self.progress is not None:
            self.progress(STAGES * self.stream_count, STAGES * self.stream_count)
        return self.matches(), {
            "trials": self.done,
            "unsearched": [i for i in range(self.stream_count) if self.streams[i].unsearched],
            "unknown_mki": self.unknown_mki(),
        }

    cdef list matches(self):
        cdef const trial_sample *sample
        cdef list found = []
        cdef uint32_t i
        for i in range(self.sample_count):
            sample = &self.samples[i]
            if sample.key != NO_KEY and not sample.mki_guess:
                found.append((sample.stream, sample.key, sample.roc, sample.place))
        return found

    cdef list unknown_mki(self):
        cdef const trial_sample *sample
        cdef list found = []
        cdef uint32_t i, behind, tag
        for i in range(self.sample_count):
            sample = &self.samples[i]
            if sample.key != NO_KEY and sample.mki_guess:
                suite = &srtp_suites[self.keys.keys[sample.key].suite]
                tag = suite.rtp_tag_len if suite.cipher == SRTP_CIPHER_CM else 0
                behind = sample.len - tag - sample.mki_guess
                mki = (<const char *>sample.data)[behind:behind + sample.mki_guess]
                found.append((sample.stream, sample.key, sample.roc, sample.place, mki))
        return found


cdef inline uint32_t nth_sample(uint32_t number, uint32_t count) noexcept nogil:
    """The samples of a stream in the order of their worth: the first, the last, the one in the middle, the rest."""
    cdef uint32_t middle = count // 2
    if number == 0 or count < 3:
        return number
    if number == 1:
        return count - 1
    if number == 2:
        return middle
    number -= 2
    return number if number < middle else number + 1


def find_keys(list streams not None, TrialKeys keys not None, list hints not None, *, uint64_t roc_budget,
              progress=None):
    """Which key opens which sample: ([(stream, key, rollover counter, sample)], {name: what else is to be told}).

    streams: (RTCP, samples in the order of their times) each. hints: for each stream, numbers of keys to try first.
    roc_budget: trials at other rollover counters than 0. progress(done, total) is called now and then.

    At least one match is given for every sample that opens under some key. Told besides: "trials" made; "unsearched":
    streams that nothing opened, and whose rollover counters were not all tried under all keys; "unknown_mki": matches
    under a key without MKI of packets that carry one, (stream, key, rollover counter, sample, MKI)."""
    match = KeyMatch(keys, streams, hints, roc_budget, progress)
    return match.run(hints)
