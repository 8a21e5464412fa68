# What srtpgw.srtp and the gateway hold: a Context owns an SRTP and an SRTCP context of the arenas.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM

cdef enum:
    API_PACKET_MAX = 65536      # octets, before protection
    API_OVERHEAD = 512          # tag, index, MKI and SRTP_TAIL_ROOM, rounded up
    API_BATCH = 64
    API_OCTETS = ENGINE_HEAD_ROOM + API_BATCH * (API_PACKET_MAX + 2 * API_OVERHEAD)

cdef uint8_t *API_ROOM          # one buffer for all calls: they hold the GIL
cdef job_batch API_JOBS


cdef uint32_t take_context(const srtp_suite *suite, int suite_number, bint rtcp, dict options) except 0:
    """A context without keys yet."""
    cdef uint32_t number = arena_take(&STATE.contexts)
    cdef srtp_context *context
    if number == 0:
        raise MemoryError("no room for another SRTP context")
    context = context_at(number)
    context.suite = <uint8_t>suite_number
    context.cipher = suite.cipher
    context.tag_len = suite.rtcp_tag_len if rtcp else suite.rtp_tag_len
    context.window = options["window"]
    context.stream_limit = options["max_ssrcs"]
    context.initial_roc = options["roc"]
    context.initial_index = options["srtcp_index"]
    if options["sender"]:
        context.flags |= CONTEXT_SENDER
    context.fresh_seed = random64()
    if options["foreign"]:
        context.flags |= CONTEXT_FOREIGN
    if rtcp:
        context.flags |= CONTEXT_RTCP
    elif not options["authenticate_rtp"]:
        context.tag_len = 0
    if suite.encrypts and options["encrypt_rtcp" if rtcp else "encrypt_rtp"]:
        context.flags |= CONTEXT_ENCRYPT
    for i, roc in enumerate(options["roc_hints"][:SEARCH_HINTS]):
        context.hints[i] = roc
        context.hint_count = i + 1
    return number


cdef int add_key(uint32_t number, uint32_t key, bytes mki, uint64_t lifetime) except -1:
    cdef srtp_context *context = context_at(number)
    cdef int i = context.key_count
    if key == 0:
        raise MemoryError("no room for another SRTP key")
    key_at(key).mki_len = len(mki)
    memcpy(key_at(key).mki, <const char *>mki, len(mki))
    context.key[i].number = key
    context.mki_len = len(mki)
    context.key[i].left = lifetime
    context.key_count = i + 1
    return 0


cdef class Context:
    """SRTP and SRTCP of one direction under one set of master keys. The caller has checked every length.

    keys: (key||salt, mki, lifetime in packets or 0) each; or session_keys: (cipher, salt, auth) for SRTP and for SRTCP.
    """
    cdef uint32_t[2] number
    cdef const srtp_suite *table
    cdef object provider
    cdef bint sender

    def __cinit__(self, int suite, list keys, tuple session_keys, dict options, tuple provider=None):
        self.table = &srtp_suites[suite]
        self.sender = options["sender"]
        for rtcp in range(2):
            self.number[rtcp] = take_context(self.table, suite, rtcp, options)
            if session_keys is not None:
                cipher, salt, auth = session_keys[rtcp]
                self.take_session_key(rtcp, cipher, salt, auth)
            for key, mki, lifetime in keys:
                self.take_master_key(rtcp, key, mki, lifetime)
            context_at(self.number[rtcp]).live = 1
        if provider is not None:
            self.provider = provider[0]
            for rtcp in range(2):
                context_at(self.number[rtcp]).flags |= CONTEXT_LIBSRTP
                STATE.provider[self.number[rtcp]] = <void *><size_t>provider[1]

    cdef int take_master_key(self, bint rtcp, const uint8_t[::1] key, bytes mki, uint64_t lifetime) except -1:
        cdef uint64_t most = SRTCP_INDEX_END if rtcp else SRTP_INDEX_END
        cdef uint32_t number = make_derived_key(self.table, &key[0], rtcp)
        return add_key(self.number[rtcp], number, mki, min(lifetime, most) if lifetime else most)

    cdef int take_session_key(self, bint rtcp, const uint8_t[::1] cipher, const uint8_t[::1] salt,
                              bytes auth) except -1:
        cdef const uint8_t *mac = <const uint8_t *><const char *>auth
        cdef uint32_t number = make_session_key(self.table, &cipher[0], &salt[0], mac, len(auth))
        return add_key(self.number[rtcp], number, b"", SRTCP_INDEX_END if rtcp else SRTP_INDEX_END)

    def __dealloc__(self):
        free_context(self.number[RTP])
        free_context(self.number[RTCP])

    def __reduce__(self):
        raise TypeError("an SRTP context is not to be copied: two would use the same keystream")

    def run(self, packet, bint rtcp, uint64_t now_ns, bint verify_only=False):
        """Protect (sender) or unprotect (receiver) one packet: bytes, or the drop reason's number."""
        cdef bytes octets = bytes(packet)  # may run Python: before the shared buffer is touched
        cdef uint32_t number = self.number[rtcp]
        cdef srtp_context *context = context_at(number)
        cdef srtp_packet one
        take_packet(&one, number, octets, rtcp, self.sender, API_ROOM)
        if verify_only:
            context.flags |= CONTEXT_VERIFY
        run_packets(&one, 1, self.sender, now_ns)
        context.flags &= ~CONTEXT_VERIFY
        return (<char *>one.data)[:one.len] if one.verdict == DROP_NONE else one.verdict

    def rekey(self, Context before not None, uint64_t overlap_until_ns):
        """Take the place of `before`: its rollover counters are kept, its sources are known; packets under its key
        are taken until overlap_until_ns. `before` is spent: it takes no packet any more."""
        cdef srtp_context *context
        cdef srtp_context *old
        before.check()
        for rtcp in range(2):
            context = context_at(self.number[rtcp])
            old = context_at(before.number[rtcp])
            carry_sources(before.number[rtcp])
            free_context(old.previous)
            old.previous = 0
            context.previous = before.number[rtcp]
            context.overlap_until_ns = overlap_until_ns
            before.number[rtcp] = 0

    cdef int check(self) except -1:
        if self.number[RTP] == 0:
            raise RuntimeError("another context took the place of this one")
        return 0

    def rollover_counter(self, uint32_t ssrc):
        """The ROC of a source, or None where it is not known."""
        cdef srtp_stream *stream = find_stream(context_at(self.number[RTP]), ssrc)
        return None if stream == NULL or not stream.estimated else stream.highest >> 16

    def set_rollover_counter(self, uint32_t ssrc, uint32_t roc):
        """Tell the ROC of a source. False where there is no room, or where it would go back under this key."""
        cdef srtp_context *context = context_at(self.number[RTP])
        cdef srtp_stream *stream = find_stream(context, ssrc)
        cdef srtp_packet packet
        cdef uint64_t sequence
        self.check()
        if stream == NULL and self.sender:
            packet.ssrc = ssrc
            stream = sending_stream(context, &packet)
        elif stream == NULL:
            stream = add_stream(context, ssrc)
        if stream == NULL or (stream.started and roc < stream.highest >> 16):
            return False
        sequence = stream.highest & 0xFFFF if stream.estimated else 0x8000
        if roc != stream.highest >> 16 or not stream.estimated:
            if stream.started:
                window_clear(stream)
            stream.highest = <uint64_t>roc << 16 | sequence
            stream.estimated = 1
        return True

    def forget_sources(self, uint32_t srtcp_skip):
        """Sender, its state being older than what it last sent: every source goes out under a fresh SSRC, and SRTCP
        goes on `srtcp_skip` indices after the newest one known."""
        cdef srtp_context *rtp = context_at(self.number[RTP])
        cdef srtp_context *rtcp = context_at(self.number[RTCP])
        while rtp.first:
            evict_oldest(rtp)
        while rtcp.first:
            evict_oldest(rtcp)
        rtp.flags |= CONTEXT_RENAME | CONTEXT_FORGOT
        # what was sent since the state was kept took its SSRCs from the permutation of then, nobody knows how many:
        # take another one. Two of them meet by chance only, FRESH_SSRCS * FRESH_SSRCS / 2^32 at the very most.
        rtp.fresh_seed = random64()
        rtp.fresh_count = 0
        rtcp.initial_index = <uint32_t>min(<uint64_t>rtcp.initial_index + srtcp_skip, SRTCP_INDEX_END)

    def rename_unknown(self):
        """Sender: a source that the state does not know goes out under a fresh SSRC."""
        context_at(self.number[RTP]).flags |= CONTEXT_RENAME | CONTEXT_FORGOT

    def export_state(self):
        """Sources with their indices and windows; no key. Same layout number needed to restore."""
        self.check()
        carry_sources(self.number[RTP])
        return export_contexts(self.number)

    def restore_state(self, bytes state not None):
        """Take back what export_state gave. ValueError where it is not of this layout, suite and direction; the
        context is dead then."""
        self.check()
        restore_contexts(self.number, state)


cdef void take_packet(srtp_packet *packet, uint32_t context, bytes octets, bint rtcp, bint sender,
                      uint8_t *room) noexcept:
    """Copy a packet into `room`; DROP_TOO_LONG where it has more than API_PACKET_MAX octets."""
    cdef Py_ssize_t length = len(octets)
    memset(packet, 0, sizeof(srtp_packet))
    packet.data = room
    packet.context = context
    packet.rtcp = rtcp
    if length > (API_PACKET_MAX if sender else API_PACKET_MAX + API_OVERHEAD - SRTP_TAIL_ROOM):
        packet.verdict = DROP_TOO_LONG
        return
    packet.len = <uint32_t>length
    packet.room = packet.len + API_OVERHEAD
    memcpy(room, <const char *>octets, packet.len)


cdef void run_packets(srtp_packet *packets, uint32_t count, bint sender, uint64_t now_ns) noexcept nogil:
    if sender:
        protect_batch(packets, count, &API_JOBS)
    else:
        unprotect_batch(packets, count, &API_JOBS, now_ns)


cdef class Direction:
    """A sender or receiver of srtpgw.srtp: what run_many() takes its context from without a look-up by name."""
    cdef public Context context


cdef inline Context context_of(object pair):
    """The context of a (Direction, packet) pair that was checked."""
    return (<Direction>PyTuple_GET_ITEM(pair, 0)).context


cdef inline bint takes(Context context, bint sender):
    return context is not None and context.sender == sender


cdef list checked_pairs(object pairs, bint sender):
    """`pairs` as a list of (Direction, bytes) tuples. Whatever may run Python does so here, before the shared buffer is
    touched: a packet that is no bytes object, or an iterator."""
    cdef list given = pairs if type(pairs) is list else list(pairs)
    cdef bint plain = True
    for pair in given:
        if type(pair) is not tuple or len(<tuple>pair) != 2 or type((<tuple>pair)[1]) is not bytes:
            plain = False
            break
    if not plain:
        given = [(direction, bytes(packet)) for direction, packet in given]
    for pair in given:
        if not isinstance((<tuple>pair)[0], Direction) or not takes(context_of(pair), sender):
            raise TypeError("protect takes senders, unprotect takes receivers")
    return given


cdef void take_pairs(srtp_packet *packets, list pairs, Py_ssize_t first, Py_ssize_t count, bint sender) noexcept:
    """The packets of a batch, side by side in the shared buffer."""
    cdef uint8_t *room = API_ROOM
    cdef const uint8_t *octets
    cdef Py_ssize_t i
    cdef bint rtcp
    for i in range(count):
        pair = pairs[first + i]
        packet = <bytes>PyTuple_GET_ITEM(pair, 1)
        octets = <const uint8_t *>PyBytes_AS_STRING(packet)
        rtcp = PyBytes_GET_SIZE(packet) > 1 and 192 <= octets[1] <= 223
        take_packet(&packets[i], context_of(pair).number[rtcp], packet, rtcp, sender, room)
        prefetch_context(packets[i].context)
        room += (packets[i].len + API_OVERHEAD + 63) & ~<size_t>63
    for i in range(count):
        prefetch_key(packets[i].context)


def run_many(pairs not None, bint sender, uint64_t now_ns, refuse not None):
    """[(Direction, packet), ...] in one batch: bytes, or what `refuse` makes of a drop reason's number, in order. RTCP
    is told from RTP by its packet type (RFC 5761 4)."""
    cdef srtp_packet[API_BATCH] packets
    cdef list given = checked_pairs(pairs, sender)
    cdef Py_ssize_t done = 0, total = len(given), i, count
    cdef list results = [None] * total
    cdef bint refused = False
    while done < total:
        count = min(API_BATCH, total - done)
        take_pairs(packets, given, done, count, sender)
        run_packets(packets, <uint32_t>count, sender, now_ns)
        for i in range(count):  # makes nothing that the garbage collector counts: it might run Python
            if packets[i].verdict == DROP_NONE:
                results[done + i] = PyBytes_FromStringAndSize(<char *>packets[i].data, packets[i].len)
            else:
                results[done + i] = packets[i].verdict
                refused = True
        done += count
    if refused:
        return [refuse(result) if type(result) is int else result for result in results]
    return results
