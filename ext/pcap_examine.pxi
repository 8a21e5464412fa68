# Second reading: every packet of the streams that the first one found, authenticated where a key is known, and counted.
#
#   CaptureReader --> collect()  up to 64 packets of known streams, copied to where a kernel may work on them
#                     prepare()  key and index estimated, hash of the octets: a job for each that has a key
#                     KERNELS    tags compared, and with a writer decrypted
#                     settle()   in order: tried elsewhere where the tag was wrong; numbers, features, timeline
#                     hand_over() with a writer: a block for each, under its comment where it could not be decrypted

cdef char *COMMENT_FAILED = b"authentication failed under every known key"
cdef char *COMMENT_NO_KEY = b"no key known"
cdef char *COMMENT_TRUNCATED = b"truncated in the capture"


cdef inline size_t examine_mapped() noexcept nogil:
    """Octets: the room, and behind it the contexts, which no object of Python would align as they have to be."""
    return EXAMINE_ROOM + 2 * SRTP_SUITE_COUNT * sizeof(srtp_context)


cdef class Examiner:
    """Packets of given streams, authenticated and counted; with a writer they are also written, decrypted.

    streams: dicts with
        key             StreamKey; each once
        keys            [(key, roc, sequence, MKI length)]: numbers in `keys` that samples were authentic under, with
                        the rollover counter and the sequence number of the sample, in the order of the file. What
                        follows the key may be None or be left out. For RTCP the key alone counts.
        packets         as counted by the first reading; sizes what is kept. Left out: many
        clock_rates     {payload type: Hz}, for the jitter. Leave out telephone-event and comfort noise
        plain           with a writer: packets without a key are written as they are
        interface_out, interface_undecrypted    numbers to write to, the second what cannot be decrypted, with the
                        reason in its comment; left out: the packet's own

    reuse: numbers of streams that may have used keystream twice on their own (`rewound` in the results of an earlier
    reading). Streams of one key and SSRC are held against each other in any case.

    test_octets: memory for the plaintext tests of all streams; `untested` counts what it was too little for.

    ValueError where a stream is given twice or too often, IndexError for a key that is none.
    """
    cdef ExaminedStreams book
    cdef BlockWriter writer
    cdef examined_stream *streams       # of the book
    cdef key_line *lines
    cdef srtp_context *forms            # of each suite, for RTP and for RTCP
    cdef uint64_t seed
    cdef uint8_t *room
    cdef size_t room_used
    cdef job_batch jobs
    cdef examined_packet packets[EXAMINE_BATCH]
    cdef uint32_t count                 # packets of the batch
    cdef uint32_t written

    def __cinit__(self, TrialKeys keys not None, list streams not None, BlockWriter writer=None, *, reuse=(),
                  size_t test_octets=EXAMINE_TEST_OCTETS):
        self.book = ExaminedStreams(keys, streams, frozenset(reuse), test_octets)
        self.streams = self.book.streams
        self.lines = self.book.lines
        self.writer = writer
        self.seed = random64()
        self.room = <uint8_t *>mmap(NULL, examine_mapped(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if <void *>self.room == <void *>-1:
            self.room = NULL
            raise MemoryError("no memory for the packets of a batch")
        madvise(self.room, EXAMINE_ROOM, MADV_DONTDUMP)
        self.forms = <srtp_context *>(self.room + EXAMINE_ROOM)
        for suite in range(SRTP_SUITE_COUNT):
            for rtcp in range(2):
                make_form(&self.forms[2 * suite + rtcp], suite, rtcp)

    def __dealloc__(self):
        if self.room != NULL:
            wipe(self.room, EXAMINE_ROOM)
            munmap(self.room, examine_mapped())

    # The path of a packet

    cdef inline bint has_room(self) noexcept nogil:
        return self.count < EXAMINE_BATCH and self.room_used + 2 * EXAMINE_SLOT_MAX <= EXAMINE_ROOM

    cdef inline uint8_t *lay(self, const pcap_packet *packet) noexcept nogil:
        """A copy of a payload in the room, with a free edge on either side."""
        cdef uint8_t *at = self.room + self.room_used + EXAMINE_EDGE
        memcpy(at, packet.data, packet.len)
        self.room_used += (packet.len + 3 * EXAMINE_EDGE - 1) & ~<size_t>(EXAMINE_EDGE - 1)
        return at

    cdef bint collect(self, CaptureReader reader) noexcept nogil:
        """The next batch. False: the reader has no more packets for now."""
        cdef examined_packet *p
        cdef stream_key key
        cdef int64_t number
        self.count = self.written = 0
        self.room_used = 0
        while self.has_room():
            p = &self.packets[self.count]
            if not reader.next(&p.packet):
                return False
            if p.packet.len > EXAMINE_PACKET_MAX or not media_key(&p.packet, &key):
                continue
            number = self.book.table.find(&key)
            if number < 0:
                continue
            prefetch_lines(&self.streams[number], EXAMINE_STREAM_LINES)
            p.stream = <uint32_t>number
            p.work = self.lay(&p.packet)
            # the features are of what was captured, and looked at once it is known whether it is authentic
            p.packet.data = p.work if self.writer is None else self.lay(&p.packet)
            self.count += 1
        return True

    cdef inline void prefetch_stream(self, const examined_stream *s) noexcept nogil:
        """What hangs on a stream's record."""
        cdef const key_line *line = &self.lines[s.first_line + s.line]
        prefetch(&s.numbers.ring[(s.numbers.newest + 1) & s.numbers.ring_mask])
        if s.times != NULL:
            prefetch(s.times)
            prefetch(&s.times.bins[s.times.at])
        if s.line_count:
            prefetch(line)

    cdef void prefetch_batch(self) noexcept nogil:
        cdef examined_stream *s
        cdef uint32_t i
        for i in range(self.count):
            self.prefetch_stream(&self.streams[self.packets[i].stream])
        for i in range(self.count):
            s = &self.streams[self.packets[i].stream]
            if s.line_count:
                prefetch_lines(key_at(self.lines[s.first_line + s.line].record), KEY_LINES)

    cdef bint job_under(self, uint32_t number, const examined_packet *p, uint64_t index, srtp_job *job) noexcept nogil:
        """Fill the job of a packet under a line. False where it cannot be one of it."""
        cdef const key_line *line = &self.lines[number]
        cdef bint rtcp = self.streams[p.stream].rtcp
        cdef const srtp_context *form = &self.forms[2 * line.suite + rtcp]
        cdef bint fits
        if rtcp:
            fits = line_job_rtcp(form, line, job, p.work, p.packet.len)
        else:
            fits = line_job_rtp(form, line, job, p.work, p.packet.len, index)
        job.verify_only = self.writer is None
        return fits

    cdef void prepare(self, examined_packet *p, srtp_job *job) noexcept nogil:
        """All that can be said before the tag."""
        cdef examined_stream *s = &self.streams[p.stream]
        cdef int64_t index
        p.hash = octets_hash(p.packet.data, p.packet.len, self.seed)
        p.line = s.first_line + s.line
        p.index = 0
        if s.line_count == 0:
            p.state = EXAMINE_NO_KEY
            return
        if p.packet.len < p.packet.wire_len:
            p.state = EXAMINE_TRUNCATED
            return
        p.state = EXAMINE_UNFIT
        if not s.rtcp:
            index = line_estimate(&self.lines[p.line], rtp_sequence(p.work))
            if index < 0:
                return
            p.index = <uint64_t>index
        if self.job_under(p.line, p, p.index, job):
            p.state = EXAMINE_TRIED

    cdef void open_batch(self) noexcept nogil:
        cdef uint32_t i
        batch_start(&self.jobs)
        self.prefetch_batch()
        for i in range(self.count):
            self.prepare(&self.packets[i], &self.jobs.jobs[i])
            if self.packets[i].state == EXAMINE_TRIED:
                batch_add(&self.jobs, &self.jobs.jobs[i], srtp_suites[self.lines[self.packets[i].line].suite].cipher)
        if self.jobs.cm_count:
            KERNELS.unprotect_cm(self.jobs.cm, self.jobs.cm_count)
        if self.jobs.gcm_count:
            KERNELS.unprotect_gcm(self.jobs.gcm, self.jobs.gcm_count)

    cdef bint opens(self, examined_packet *p, key_trials *trials, uint32_t number, int64_t index) noexcept nogil:
        """Whether the packet is authentic under a line and an index that it was not tried under yet."""
        cdef srtp_job job
        if not trial_is_new(trials, number, index) or not self.job_under(number, p, <uint64_t>index, &job):
            return False
        open_one(srtp_suites[self.lines[number].suite].cipher, &job)
        if job.good:
            p.line = number
            p.index = <uint64_t>index
        return job.good != 0

    cdef bint search_lines(self, examined_packet *p, key_trials *trials) noexcept nogil:
        """Under each line at its estimate, the present one first."""
        cdef examined_stream *s = &self.streams[p.stream]
        cdef uint32_t number, i
        cdef int64_t index = 0
        for i in range(s.line_count):
            number = s.first_line + (s.line + i) % s.line_count
            if not s.rtcp:
                index = line_estimate(&self.lines[number], rtp_sequence(p.work))
            if self.opens(p, trials, number, index):
                return True
        return False

    cdef bint search_counters(self, examined_packet *p, key_trials *trials) noexcept nogil:
        """Under each line one rollover counter off, at the beginning, and at the stream's count (a re-key keeps it)."""
        cdef examined_stream *s = &self.streams[p.stream]
        cdef uint16_t sequence = rtp_sequence(p.work)
        cdef uint32_t number, i
        cdef int64_t index
        for i in range(s.line_count):
            number = s.first_line + (s.line + i) % s.line_count
            index = line_estimate(&self.lines[number], sequence)
            if (
                self.opens(p, trials, number, index + 0x10000)
                or self.opens(p, trials, number, index - 0x10000)
                or self.opens(p, trials, number, sequence)
                or s.numbers.started and self.opens(p, trials, number, guess_index(s.numbers.newest, sequence))
            ):
                return True
        return False

    cdef bint search(self, examined_packet *p) noexcept nogil:
        """After a wrong tag. Forged packets take from the stream's allowance, authentic ones fill it up."""
        cdef examined_stream *s = &self.streams[p.stream]
        cdef key_trials trials
        trials.count = 0
        if p.state == EXAMINE_TRIED:
            trial_is_new(&trials, p.line, <int64_t>p.index)
        if self.search_lines(p, &trials):
            return True
        if s.rtcp:
            return False
        if s.allowance:
            s.allowance -= 1
        elif s.failed % SEARCH_SELDOM:
            return False
        return self.search_counters(p, &trials)

    # What a packet tells

    cdef void settle(self, examined_packet *p, const srtp_job *job) noexcept nogil:
        cdef examined_stream *s = &self.streams[p.stream]
        cdef timeline_bin *times = NULL
        cdef uint32_t rate = count_type(s, p.packet.data[1] if s.rtcp else p.packet.data[1] & 0x7F)
        if s.packets == 0:
            s.first_frame = p.packet.frame
            s.first_ns = p.packet.time_ns
            if s.times != NULL:
                timeline_start(s.times, p.packet.time_ns)
        if s.times != NULL:
            times = timeline_at(s.times, p.packet.time_ns)
            times.packets += 1
        s.octets += p.packet.len
        s.last_frame = p.packet.frame
        s.last_ns = p.packet.time_ns
        s.truncated += p.packet.len < p.packet.wire_len
        if p.state == EXAMINE_NO_KEY:
            p.outcome = OUTCOME_TRUNCATED if p.packet.len < p.packet.wire_len else OUTCOME_NO_KEY
            self.take_unproved(s, p, rate)
        elif p.state == EXAMINE_TRUNCATED:
            p.outcome = OUTCOME_TRUNCATED
            s.numbers.unproved += 1
        elif (p.state == EXAMINE_TRIED and job.good) or self.search(p):
            p.outcome = OUTCOME_AUTHENTIC
            self.take_authentic(s, p, rate)
        else:
            p.outcome = OUTCOME_FAILED
            self.take_failed(s, p)
        s.packets += 1

    cdef sequence_event take_number(self, examined_stream *s, const examined_packet *p, uint64_t number,
                                    bint fresh_key, uint32_t rate) noexcept nogil:
        cdef uint64_t before = s.numbers.newest, lost = s.numbers.lost, missing = 0
        cdef bint started = s.numbers.started
        cdef sequence_event event
        event = sequence_take(&s.numbers, number, p.hash, p.packet.time_ns, fresh_key, &missing)
        if event == SEQUENCE_NEWEST:
            self.take_step(s, <uint32_t>((number >> 16) - (before >> 16)), <uint32_t>missing)
        elif event == SEQUENCE_LATE:
            if s.times != NULL and s.numbers.lost != lost and not s.rtcp:
                timeline_found(s.times)
        elif event == SEQUENCE_REPLAY:
            note_frame(s, NOTE_REPLAY, p.packet.frame)
        elif event == SEQUENCE_CONFLICT:
            note_frame(s, NOTE_CONFLICT, p.packet.frame)
        elif event == SEQUENCE_RESTART:
            s.delay.rate = 0
            if started:
                note_frame(s, NOTE_RESTART, p.packet.frame)
        if started and number < before and before - number > s.numbers.ring_mask and not fresh_key:
            s.rewound = 1
        if not s.rtcp and (event == SEQUENCE_NEWEST or event == SEQUENCE_LATE or event == SEQUENCE_RESTART):
            jitter_take(&s.delay, p.packet.time_ns, load32(p.packet.data + 4), rate)
        return event

    cdef inline void take_step(self, examined_stream *s, uint32_t wraps, uint32_t missing) noexcept nogil:
        """The newest moved on. SRTCP's index may skip on purpose, so what is missing of it says nothing."""
        if s.rtcp or not (wraps or missing):
            return
        s.wraps += wraps
        if s.times != NULL:
            s.times.bins[s.times.at].wraps += wraps
            s.times.bins[s.times.at].lost += missing

    cdef void take_unproved(self, examined_stream *s, examined_packet *p, uint32_t rate) noexcept nogil:
        """A packet of a stream without a key."""
        cdef sequence_event event = SEQUENCE_NEWEST
        cdef uint64_t part = s.packets * EXAMINE_STRETCHES // s.expected if s.expected >= FEATURES_LEAST else 0
        if s.rtcp:
            self.take_report(s, p)
        else:
            event = self.take_number(s, p, sequence_extend(&s.numbers, rtp_sequence(p.packet.data)), False, rate)
        if event == SEQUENCE_TWICE or event == SEQUENCE_REPLAY:
            return
        self.look(s, p, &s.stretches[min(part, <uint64_t>EXAMINE_STRETCHES - 1)], p.packet.len)

    cdef void take_report(self, examined_stream *s, const examined_packet *p) noexcept nogil:
        """RTCP that no key is known for, or none that fits."""
        if rtcp_well_formed(p.packet.data, p.packet.len):
            s.whole += 1
            note_frame(s, NOTE_CLEAR, p.packet.frame)

    cdef void take_failed(self, examined_stream *s, examined_packet *p) noexcept nogil:
        s.failed += 1
        s.numbers.unproved += 1
        note_frame(s, NOTE_FAILED, p.packet.frame)
        if s.rtcp:
            self.take_report(s, p)
        if s.times != NULL:
            s.times.bins[s.times.at].failed += 1
        self.look(s, p, &s.rest, p.packet.len)

    cdef void take_authentic(self, examined_stream *s, examined_packet *p, uint32_t rate) noexcept nogil:
        cdef key_line *line = &self.lines[p.line]
        cdef const srtp_context *form = &self.forms[2 * line.suite + s.rtcp]
        cdef bint fresh = line.packets == 0 and self.lines[s.first_line + s.line].key != line.key
        cdef bint encrypted = srtp_suites[line.suite].encrypts != 0
        cdef sequence_event event
        cdef uint32_t word
        if s.rtcp:
            word = srtcp_word(form, line, p.work, p.packet.len)
            p.index = word & (SRTCP_E_BIT - 1)
            encrypted = encrypted and word & SRTCP_E_BIT != 0
            s.clear += not word & SRTCP_E_BIT
            if not word & SRTCP_E_BIT:
                note_frame(s, NOTE_CLEAR, p.packet.frame)
        s.authenticated += 1
        s.encrypted += encrypted
        s.allowance = <uint8_t>min(s.allowance + 1, SEARCH_ALLOWANCE)
        if s.times != NULL:
            s.times.bins[s.times.at].authenticated += 1
        if line.packets and p.line != s.first_line + s.line and p.index <= line.newest:
            s.rewound = 1  # back under an earlier key
        event = self.take_number(s, p, p.index, fresh, rate)
        self.take_line(s, p, event)
        if line.group and encrypted:
            self.book.groups.take(line.group, p.index, p.hash, p.packet.frame)
        if event != SEQUENCE_TWICE and event != SEQUENCE_REPLAY:
            self.look(s, p, &s.content, p.packet.len - line_trailer(form, line))

    cdef void take_line(self, examined_stream *s, const examined_packet *p, sequence_event event) noexcept nogil:
        """The line has another authentic packet; what comes next is expected where the newest was."""
        cdef key_line *line = &self.lines[p.line]
        cdef uint32_t roc = <uint32_t>(p.index >> 16)
        if line.packets == 0:
            line.frame = p.packet.frame
            line.time_ns = p.packet.time_ns
            line.roc = roc
        if line.packets == 0 or event == SEQUENCE_NEWEST or event == SEQUENCE_RESTART or p.index > line.newest:
            line.newest = p.index
            line.numbered = 1
        line.packets += 1
        if not s.has_roc:
            s.has_roc = 1
            s.roc_first = roc
        if event == SEQUENCE_NEWEST or event == SEQUENCE_RESTART:
            s.line = <uint8_t>(p.line - s.first_line)
            s.roc_last = roc

    cdef inline void look(self, const examined_stream *s, const examined_packet *p, tested *part,
                          uint32_t end) noexcept nogil:
        """For the plaintext tests: the payload up to `end`."""
        if part.first_frame == 0:
            part.first_frame = p.packet.frame
            if is_tested(s):
                part.counted = self.book.take_features()
        part.last_frame = p.packet.frame
        if part.counted != NULL:
            test_packet(part.counted, s, p, end)
        else:
            self.book.untested += is_tested(s)

    # What is written

    cdef inline uint32_t interface_for(self, const examined_packet *p, int64_t wanted) noexcept nogil:
        return p.packet.interface if wanted < 0 else <uint32_t>wanted

    cdef bint write_one(self, const examined_packet *p) noexcept nogil:
        cdef const examined_stream *s = &self.streams[p.stream]
        cdef const key_line *line = &self.lines[p.line]
        cdef const char *comment = COMMENT_FAILED
        cdef uint32_t trailer
        if p.outcome == OUTCOME_AUTHENTIC:
            trailer = line_trailer(&self.forms[2 * line.suite + s.rtcp], line)
            return self.writer.add(&p.packet, p.work, p.packet.len - trailer, self.interface_for(p, s.interface), NULL)
        if p.state == EXAMINE_NO_KEY and s.plain:
            return self.writer.add(&p.packet, p.packet.data, p.packet.len, self.interface_for(p, s.interface), NULL)
        if p.outcome == OUTCOME_NO_KEY:
            comment = COMMENT_NO_KEY
        elif p.outcome == OUTCOME_TRUNCATED:
            comment = COMMENT_TRUNCATED
        return self.writer.add(&p.packet, p.packet.data, p.packet.len, self.interface_for(p, s.undecrypted), comment)

    cdef bint hand_over(self) noexcept nogil:
        """What is left of the batch. False: the writer is full."""
        if self.writer is None:
            return True
        while self.written < self.count:
            if not self.write_one(&self.packets[self.written]):
                return False
            self.written += 1
        return True

    cdef bint work(self, CaptureReader reader) noexcept nogil:
        """Packets until the reader has no more. False: the writer is full before that."""
        cdef bint more = True
        cdef uint32_t i
        while self.hand_over():
            if not more:
                return True
            more = self.collect(reader)
            self.open_batch()
            for i in range(self.count):
                self.settle(&self.packets[i], &self.jobs.jobs[i])
        return False

    def run(self, CaptureReader reader not None):
        """All packets that the reader has now. The blocks to write, in order; without a writer b""."""
        cdef bint done
        cdef list blocks = []
        while True:
            with nogil:
                done = self.work(reader)
            if self.writer is not None:
                blocks.append(self.writer.take())
            if done:
                return b"".join(blocks)

    def results(self):
        """A dict for each stream, in the order given. Times are ns since 1970; frames as Wireshark counts them.

            key                 StreamKey
            packets, octets, first_frame, last_frame, first_ns, last_ns
            payload_types       {payload type: packets}; of RTCP the type of the first packet in each
            other_payload_types packets of types beyond the first eight
            truncated           packets that the capture holds a part of; under a key they are not checked
            authenticated, failed, unchecked    packets; together all. Without a key none is checked
            encrypted           authentic packets whose payload was encrypted (NULL suites and E at zero are not)
            srtcp_in_clear      authentic SRTCP with E at zero
            well_formed_rtcp    RTCP without a key, or that failed, whose lengths add up: it is in clear
            key_uses            [{key, frame, time_ns, roc, packets}] in order of the first authentic packet
            failed_frames, replay_frames, conflict_frames, restart_frames, clear_frames     the first eight
            timeline            [(start_ns, packets, lost, authenticated, failed, wraps)], at most 120; none of under 8
                                packets
            lost                by sequence numbers and ROC, less what came late; packets that failed fill gaps. RTCP: 0
            largest_gap         packets in it
            reordered           came after a later one
            duplicates          the same octets under the same number at once
            replays             the same more than 64 packets or 1 s later, or, under a key, whatever is behind the last
                                1,024 packets
            conflicts           the same number with other octets, within the last 1,024: under one key this is
                                keystream used twice
            restarts            the source began another line of numbers
            rewound             numbers went back farther than 1,024, or under an earlier key: only a reading with
                                `reuse` tells whether keystream was used twice
            wraps               of the sequence number
            roc                 (first, last) of authentic packets, or None
            jitter_ms, jitter_max_ms    RFC 3550 A.8, mean and highest; None without a clock rate
            features            for the plaintext tests: of authentic packets, or without a key of all; less the trailer
                                where it is known. Packets that came twice are left out, and under 20 of RTP all
            failed_features     of those that failed; None where there were none
            stretches           without a key: [{first_frame, last_frame, features}] of each fifth of the stream; under
                                20 packets none
            histogram           of the octets that the tests saw: the first 512 of a payload, and of long streams a part
                                of the packets
        """
        return [self.book.result(number) for number in range(self.book.stream_count)]

    def reuse(self):
        """Keystream used twice, for each group of streams that could have: dicts with streams (their numbers), reused
        (packets), frames [(the first packet, that which used its keystream again)], copies (the same octets again),
        unchecked (packets that no room was left for)."""
        return self.book.reused()

    @property
    def untested(self):
        """Packets that no plaintext test looked at, because the streams are too many for the memory set aside."""
        return self.book.untested
