# The streams that are examined: their records, the keys of each, and the memory behind them; and for Python what was
# counted.
#
#   StreamTable --number--> examined_stream --first_line--> key_line, line_count of them --record--> srtp_key
#                                |--> ring, timeline                       \--group--> ReuseTable
#                                 \-> features: as they are first needed
#
# All memory is taken before the first packet, sized by what the first reading counted, and touched as it fills.


cdef class ExaminedStreams:
    """Made from the dicts that Examiner is given. ValueError where a stream is given twice or streams are too many,
    IndexError for a key that is none."""
    cdef TrialKeys keys
    cdef StreamTable table
    cdef ReuseTable groups
    cdef list group_streams             # numbers of the streams of each group
    cdef examined_stream *streams
    cdef key_line *lines
    cdef ring_slot *rings
    cdef timeline *timelines
    cdef features *features_pool        # behind them an empty one, and one to join others in
    cdef size_t features_count
    cdef size_t features_used
    cdef dict nothing                   # features of no packets
    cdef uint64_t untested              # packets that no features had room for
    cdef uint32_t stream_count
    cdef uint32_t line_total

    def __cinit__(self, TrialKeys keys not None, list streams not None, frozenset rewound not None,
                  size_t test_octets):
        if len(streams) > EXAMINE_STREAMS:
            raise ValueError(f"at most {EXAMINE_STREAMS} streams are examined, {len(streams)} given")
        self.keys = keys
        self.take_streams(streams)
        self.take_memory(test_octets)
        self.take_groups(streams, rewound)

    def __dealloc__(self):
        free(self.streams)
        free(self.lines)
        free(self.rings)
        free(self.timelines)
        free(self.features_pool)

    cdef int take_streams(self, list streams) except -1:
        cdef uint32_t number
        self.table = StreamTable(max(len(streams), 1))
        self.streams = <examined_stream *>calloc(max(len(streams), 1), sizeof(examined_stream))
        self.lines = <key_line *>calloc(max(sum(len(row["keys"]) for row in streams), 1), sizeof(key_line))
        if self.streams == NULL or self.lines == NULL:
            raise MemoryError("no memory for the streams of the capture")
        for number, row in enumerate(streams):
            self.add_stream(row["key"])
            self.describe_stream(&self.streams[number], row)
            for candidate in row["keys"]:
                self.add_line(&self.streams[number], candidate)
        return 0

    cdef int add_stream(self, tuple wanted) except -1:
        cdef stream_key key
        stream_key_from(wanted, &key)
        if self.table.find(&key) >= 0:
            raise ValueError("a stream is given twice")
        self.table.add(&key)
        self.streams[self.stream_count].ssrc = key.ssrc
        self.streams[self.stream_count].rtcp = key.rtcp
        self.stream_count += 1
        return 0

    cdef int describe_stream(self, examined_stream *s, dict row) except -1:
        cdef int i
        s.first_line = self.line_total
        s.expected = min(<uint64_t>row.get("packets", RING_MOST), <uint64_t>1 << 40)
        s.plain = bool(row.get("plain", False))
        s.interface = row.get("interface_out", -1)
        s.undecrypted = row.get("interface_undecrypted", -1)
        s.allowance = SEARCH_ALLOWANCE
        for i, (payload_type, rate) in enumerate(sorted(row.get("clock_rates", {}).items())[:EXAMINE_TYPES]):
            s.types[i].taken = 1
            s.types[i].type = payload_type
            s.types[i].rate = max(0, min(rate, CLOCK_RATE_MAX))
        return 0

    cdef int add_line(self, examined_stream *s, tuple candidate) except -1:
        """A line of the stream, unless its lines so far tell the same."""
        cdef key_line *line = &self.lines[self.line_total]
        cdef uint32_t i, key
        key, roc, sequence, mki_length = (*candidate, None, None, None)[:4]
        if key >= self.keys.count:
            raise IndexError(f"there is no key {key}")
        if s.line_count == LINES_MAX:
            return 0
        memset(line, 0, sizeof(key_line))
        line.key = key
        line.record = self.keys.rtcp(key) if s.rtcp else self.keys.rtp(key)
        line.suite = self.keys.suite(key)
        line.family = self.keys.keys[key].family
        line.mki_known = mki_length is None
        line.mki_len = key_at(line.record).mki_len if mki_length is None else mki_length
        line.numbered = roc is not None and sequence is not None
        if roc is not None:
            line.newest = <uint64_t>roc << 16 | <uint16_t>(sequence or 0)
        for i in range(s.line_count):
            if self.same_line(s, &self.lines[s.first_line + i], line):
                return 0
        s.line_count += 1
        self.line_total += 1
        return 0

    cdef bint same_line(self, const examined_stream *s, const key_line *a, const key_line *b) noexcept:
        """Whether what `b` gives to estimate from follows from `a`."""
        if a.key != b.key or a.mki_len != b.mki_len:
            return False
        return s.rtcp or not b.numbered or line_estimate(a, <uint16_t>b.newest) == <int64_t>b.newest

    cdef int take_memory(self, size_t test_octets) except -1:
        """Rings, timelines and features: one piece of memory each, handed out in order."""
        cdef size_t slots = 0, lines = 0, parts = 0
        cdef examined_stream *s
        cdef uint32_t i
        for i in range(self.stream_count):
            s = &self.streams[i]
            slots += ring_size_for(s.expected)
            lines += s.expected >= TIMELINE_LEAST
            if is_tested(s):
                parts += 2 if s.line_count else EXAMINE_STRETCHES
        self.features_count = min(parts, test_octets // sizeof(features))
        self.rings = <ring_slot *>calloc(max(slots, <size_t>1), sizeof(ring_slot))
        self.timelines = <timeline *>calloc(max(lines, <size_t>1), sizeof(timeline))
        self.features_pool = <features *>calloc(self.features_count + 2, sizeof(features))
        if self.rings == NULL or self.timelines == NULL or self.features_pool == NULL:
            raise MemoryError("no memory for what is counted of the streams")
        slots = lines = 0
        for i in range(self.stream_count):
            s = &self.streams[i]
            s.numbers.ring = self.rings + slots
            s.numbers.ring_mask = <uint16_t>(ring_size_for(s.expected) - 1)
            s.numbers.proved = s.line_count != 0
            slots += ring_size_for(s.expected)
            if s.expected >= TIMELINE_LEAST:
                s.times = self.timelines + lines
                lines += 1
        return 0

    cdef features *take_features(self) noexcept nogil:
        """Or NULL, where all are in use."""
        if self.features_used == self.features_count:
            return NULL
        self.features_used += 1
        return &self.features_pool[self.features_used - 1]

    cdef int take_groups(self, list streams, frozenset rewound) except -1:
        """Streams that might share keystream: one key's octets, one SSRC, and RTP or RTCP both."""
        cdef key_line *line
        cdef uint32_t i, j
        members = {}
        for i in range(self.stream_count):
            for j in range(self.streams[i].line_count):
                line = &self.lines[self.streams[i].first_line + j]
                if srtp_suites[line.suite].encrypts:
                    place = (line.family, self.streams[i].ssrc, self.streams[i].rtcp)
                    members.setdefault(place, {}).setdefault(i, []).append(self.streams[i].first_line + j)
        groups = [rows for rows in members.values() if len(rows) > 1 or rewound & rows.keys()]
        self.groups = ReuseTable(len(groups), sum(streams[k].get("packets", 1 << 20) for rows in groups for k in rows))
        self.group_streams = [tuple(rows) for rows in groups]
        for number, rows in enumerate(groups, 1):
            for numbers in rows.values():
                for i in numbers:
                    self.lines[i].group = number
        return 0

    cdef list key_uses(self, const examined_stream *s):
        """A row for each key, in order of the first authentic packet."""
        cdef const key_line *line
        cdef uint32_t i
        uses = {}
        for i in range(s.line_count):
            line = &self.lines[s.first_line + i]
            if line.packets:
                row = {"key": line.key, "frame": line.frame, "time_ns": line.time_ns, "packets": 0,
                       "roc": None if s.rtcp else line.roc}
                known = uses.setdefault(line.key, row)
                packets = known["packets"] + line.packets
                if line.frame < known["frame"]:
                    known.update(row)
                known["packets"] = packets
        return sorted(uses.values(), key=lambda row: row["frame"])

    cdef dict numbers_of(self, const examined_stream *s):
        """What the numbers of the packets told."""
        cdef bint media = not s.rtcp
        return {
            "lost": s.numbers.lost if media else 0,
            "largest_gap": s.numbers.gap_max if media else 0,
            "reordered": s.numbers.reordered,
            "duplicates": s.numbers.duplicates,
            "replays": s.numbers.replays,
            "conflicts": s.numbers.conflicts,
            "restarts": s.numbers.restarts,
            "rewound": bool(s.rewound),
            "wraps": s.wraps,
            "roc": (s.roc_first, s.roc_last) if s.has_roc and media else None,
            "jitter_ms": s.delay.sum_ns / s.delay.count / 1e6 if s.delay.count else None,
            "jitter_max_ms": (s.delay.most >> 4) / 1e6 if s.delay.count else None,
        }

    cdef features *joined(self, const examined_stream *s):
        """All parts of a stream without a key; good until the next call."""
        cdef features *sum_of = &self.features_pool[self.features_count + 1]
        cdef uint32_t i
        memset(sum_of, 0, sizeof(features))
        for i in range(<uint32_t>EXAMINE_STRETCHES):
            if s.stretches[i].counted != NULL:
                features_join(sum_of, s.stretches[i].counted)
        return sum_of

    cdef dict features_of(self, const examined_stream *s):
        """What the plaintext tests need; all zeros, and one object, for parts without packets."""
        cdef features *content = s.content.counted if s.line_count else self.joined(s)
        cdef const tested *part
        cdef uint32_t i
        if self.nothing is None:
            self.nothing = features_dict(&self.features_pool[self.features_count])
        rows = self.nothing if content == NULL or not (content.packets or content.rtcp) else features_dict(content)
        failed = None
        if s.rest.first_frame:
            failed = self.nothing if s.rest.counted == NULL else features_dict(s.rest.counted)
        stretches = []
        for i in range(<uint32_t>EXAMINE_STRETCHES if s.expected >= FEATURES_LEAST else 0):
            part = &s.stretches[i]
            if part.counted != NULL:
                row = {"first_frame": part.first_frame, "last_frame": part.last_frame}
                stretches.append({**row, "features": features_dict(part.counted)})
        histogram = rows["octets"]
        if failed is not None and failed is not self.nothing:
            histogram = list(map(sum, zip(rows["octets"], failed["octets"])))
        return {"features": rows, "failed_features": failed, "stretches": stretches, "histogram": histogram}

    cdef tuple notes_of(self, const examined_stream *s, uint32_t kind):
        cdef uint32_t i, count = s.noted[kind]
        return tuple([s.notes[kind][i] for i in range(count)])

    cdef dict result(self, uint32_t number):
        cdef const examined_stream *s = &self.streams[number]
        cdef uint32_t i
        cdef int type
        types = {s.types[type].type: s.types[type].packets for type in range(EXAMINE_TYPES) if s.types[type].packets}
        notes = [self.notes_of(s, i) for i in range(<uint32_t>NOTE_COUNT)]
        return {
            "key": stream_key_tuple(&self.table.keys[number]),
            "packets": s.packets,
            "octets": s.octets,
            "first_frame": s.first_frame,
            "last_frame": s.last_frame,
            "first_ns": s.first_ns,
            "last_ns": s.last_ns,
            "payload_types": types,
            "other_payload_types": s.other_types,
            "truncated": s.truncated,
            "authenticated": s.authenticated,
            "failed": s.failed,
            "unchecked": s.packets - s.authenticated - s.failed,
            "encrypted": s.encrypted,
            "srtcp_in_clear": s.clear,
            "well_formed_rtcp": s.whole,
            "key_uses": self.key_uses(s),
            "failed_frames": notes[NOTE_FAILED],
            "replay_frames": notes[NOTE_REPLAY],
            "conflict_frames": notes[NOTE_CONFLICT],
            "restart_frames": notes[NOTE_RESTART],
            "clear_frames": notes[NOTE_CLEAR],
            "timeline": timeline_rows(s.times) if s.times != NULL else [],
            **self.numbers_of(s),
            **self.features_of(s),
        }

    cdef list reused(self):
        return [{"streams": rows, **self.groups.result(i)} for i, rows in enumerate(self.group_streams, 1)]
