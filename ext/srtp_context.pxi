# A context is one direction of SRTP or of SRTCP: its keys, its parameters, its sources.

cdef enum:
    SEARCH_RATE = 10            # trial authentications per second and context
    FRESH_SSRCS = 1 << 14       # renamed sources per key; more of them than that is no telephone
    SENDS_RTCP = CONTEXT_SENDER | CONTEXT_RTCP  # counts its indices itself: no window


cdef inline srtp_stream *peek_stream(const srtp_context *context, uint32_t ssrc) noexcept nogil:
    """The source's record or NULL. Moves nothing: for packets that are not authentic yet."""
    cdef uint32_t number = context.first
    while number:
        if stream_at(number).ssrc == ssrc:
            return stream_at(number)
        number = stream_at(number).next
    return NULL


cdef inline srtp_stream *find_stream(srtp_context *context, uint32_t ssrc) noexcept nogil:
    """The source's record, moved to the front of the context's list, or NULL."""
    cdef uint32_t number = context.first, before = 0
    cdef srtp_stream *stream
    while number:
        stream = stream_at(number)
        if stream.ssrc == ssrc:
            if before:
                stream_at(before).next = stream.next
                stream.next = context.first
                context.first = number
            return stream
        before = number
        number = stream.next
    return NULL


cdef inline bint out_ssrc_taken(const srtp_context *context, uint32_t out_ssrc) noexcept nogil:
    cdef uint32_t number = context.first
    while number:
        if stream_at(number).out_ssrc == out_ssrc:
            return True
        number = stream_at(number).next
    return False


cdef bint ssrc_listed(const srtp_context *context, uint32_t ssrc) noexcept nogil:
    """Whether a source arrives or leaves under this SSRC."""
    cdef uint32_t number = context.first
    while number:
        if stream_at(number).out_ssrc == ssrc or stream_at(number).ssrc == ssrc:
            return True
        number = stream_at(number).next
    return False


cdef uint32_t permuted(uint64_t seed, uint32_t number) noexcept nogil:
    """A permutation of 32-bit numbers named by `seed` (four Feistel rounds): random to look at, none comes twice."""
    cdef uint32_t left = number >> 16, right = number & 0xFFFF, mixed
    cdef uint64_t i
    for i in range(4):
        mixed = left ^ <uint32_t>(mix64(seed + (i << 16 | right) * <uint64_t>0x9E3779B97F4A7C15) >> 48)
        left = right
        right = mixed
    return left << 16 | right


cdef int64_t fresh_ssrc(srtp_context *context) noexcept nogil:
    """An SSRC of ours that was never used under this key, or -1 when FRESH_SSRCS were."""
    cdef uint32_t ssrc
    while context.fresh_count < FRESH_SSRCS:
        ssrc = permuted(context.fresh_seed, context.fresh_count)
        context.fresh_count += 1
        if not ssrc_listed(context, ssrc):
            return ssrc
    return -1


cdef uint32_t take_stream(srtp_context *context) noexcept nogil:
    """A stream's number: the context's own where that is free, else one of the arena, or 0 when it is full."""
    cdef uint32_t number
    if not context.own.taken:
        context.own.taken = 1
        return STREAM_OWN | record_number(&STATE.contexts, context)
    number = arena_take(&STATE.streams)
    if number:
        stream_at(number).taken = 1
    return number


cdef void give_stream(uint32_t number) noexcept nogil:
    """Wipe a stream and its wide window, and return them."""
    arena_give(&STATE.wides, stream_at(number).wide)
    if number & STREAM_OWN:
        wipe(stream_at(number), sizeof(srtp_stream))
    else:
        arena_give(&STATE.streams, number)


cdef srtp_stream *add_stream(srtp_context *context, uint32_t ssrc) noexcept nogil:
    """A new source, or NULL where the context's limit or the arena is reached."""
    cdef uint32_t number, wide = 0
    cdef srtp_stream *stream
    if context.stream_count >= context.stream_limit:
        return NULL
    if context.window > WINDOW_BITS and context.flags & SENDS_RTCP != SENDS_RTCP:
        wide = arena_take(&STATE.wides)
        if wide == 0:
            return NULL
    number = take_stream(context)
    if number == 0:
        arena_give(&STATE.wides, wide)
        return NULL
    stream = stream_at(number)
    stream.ssrc = ssrc
    stream.out_ssrc = ssrc
    stream.wide = wide
    stream.is_wide = wide != 0
    stream.next = context.first
    context.first = number
    context.stream_count += 1
    return stream


cdef srtp_stream *previous_stream(const srtp_context *context, uint32_t ssrc) noexcept nogil:
    """The source under the key before this one: a re-key keeps the rollover counter (RFC 3711 3.3.1)."""
    if context.previous == 0:
        return NULL
    return peek_stream(context_at(context.previous), ssrc)


cdef void carry_sources(uint32_t number) noexcept nogil:
    """Sources that the key before this one knew, and that were silent since, keep their counters and names: before that
    key goes for good, or before the state is kept."""
    cdef srtp_context *context = context_at(number)
    cdef srtp_stream *stream
    cdef srtp_stream *kept
    number = context_at(context.previous).first
    if context.flags & (CONTEXT_RTCP | CONTEXT_FORGOT):
        return
    while number:
        stream = stream_at(number)
        number = stream.next
        if peek_stream(context, stream.ssrc) == NULL and not out_ssrc_taken(context, stream.out_ssrc):
            kept = add_stream(context, stream.ssrc)
            if kept == NULL:
                return
            kept.out_ssrc = stream.out_ssrc
            kept.highest = stream.highest
            kept.estimated = stream.estimated


cdef void free_context(uint32_t number) noexcept nogil:
    """Wipe a context with its sources and keys, and the context it replaced."""
    cdef srtp_context *context
    cdef uint32_t stream, following, i
    while number:
        context = context_at(number)
        stream = context.first
        while stream:
            following = stream_at(stream).next
            give_stream(stream)
            stream = following
        for i in range(<uint32_t>context.key_count):
            arena_give(&STATE.keys, context.key[i].number)
        following = context.previous
        arena_give(&STATE.contexts, number)
        number = following


cdef inline void set_verify(srtp_context *context, bint verify) noexcept nogil:
    if verify:
        context.flags |= CONTEXT_VERIFY
    else:
        context.flags &= ~CONTEXT_VERIFY


cdef inline bint search_allowed(srtp_context *context, uint8_t spare, uint64_t now_ns) noexcept nogil:
    """Take one of the trial authentications that the context has left (bucket of SEARCH_RATE, refilled in a second),
    but leave `spare` of them."""
    cdef uint64_t step = <uint64_t>1000000000 // SEARCH_RATE
    cdef uint64_t earned
    if now_ns > context.refilled_ns:
        earned = (now_ns - context.refilled_ns) // step
        if earned >= SEARCH_RATE or context.refilled_ns == 0:
            context.tokens = SEARCH_RATE
            context.refilled_ns = now_ns
        elif earned:
            context.tokens = <uint8_t>min(<uint64_t>SEARCH_RATE, context.tokens + earned)
            context.refilled_ns += earned * step
    if context.tokens <= spare:
        return False
    context.tokens -= 1
    return True


cdef void job_rtp(const srtp_context *context, const srtp_key *key, srtp_job *job, uint8_t *data,
                  uint32_t header, uint32_t end, uint64_t index, uint32_t ssrc) noexcept nogil:
    """Fill a job for an SRTP packet whose payload is data[header..end) (RFC 3711 3.1, RFC 7714 8.1, 9.1)."""
    cdef uint32_t roc = <uint32_t>(index >> 16)
    cdef bint encrypt = context.flags & CONTEXT_ENCRYPT != 0
    job.key = key
    job.data = data
    job.tag_len = context.tag_len
    job.clear_len = header if encrypt else end
    job.cipher_len = end - job.clear_len
    job.verify_only = context.flags & CONTEXT_VERIFY != 0
    if context.cipher == SRTP_CIPHER_CM:
        job.auth_len = end
        job.trailer_len = 4
        store32(job.trailer, roc)
        iv_cm(job, ssrc, index)
    else:
        job.auth_len = job.clear_len
        job.trailer_len = 0
        iv_gcm(job, ssrc, roc, <uint16_t>index)


cdef void job_rtcp(const srtp_context *context, const srtp_key *key, srtp_job *job, uint8_t *data,
                   uint32_t end, uint32_t word, uint32_t ssrc) noexcept nogil:
    """Fill a job for an SRTCP packet whose clear or encrypted part ends at `end`; `word` is E and the index, already
    at its place for counter mode, where it is under the tag; part of the AAD for GCM (RFC 7714 9.2, 9.3)."""
    cdef uint32_t index = word & (SRTCP_E_BIT - 1)
    cdef bint encrypted = word & SRTCP_E_BIT and srtp_suites[context.suite].encrypts
    job.key = key
    job.data = data
    job.tag_len = context.tag_len
    job.clear_len = RTCP_HEADER if encrypted else end
    job.cipher_len = end - job.clear_len
    job.verify_only = context.flags & CONTEXT_VERIFY != 0
    if context.cipher == SRTP_CIPHER_CM:
        job.auth_len = end + 4
        job.trailer_len = 0
        iv_cm(job, ssrc, index)
    else:
        job.auth_len = job.clear_len
        job.trailer_len = 4
        store32(job.trailer, word)
        iv_gcm(job, ssrc, 0, 0)
        job.iv[8] ^= <uint8_t>(index >> 24)
        job.iv[9] ^= <uint8_t>(index >> 16)
        job.iv[10] ^= <uint8_t>(index >> 8)
        job.iv[11] ^= <uint8_t>index


cdef inline void iv_cm(srtp_job *job, uint32_t ssrc, uint64_t index) noexcept nogil:
    """RFC 3711 4.1.1: (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16)."""
    xor64(job.iv, job.key.salt, ssrc)
    xor64(job.iv + 8, job.key.salt + 8, index << 16)


cdef inline void iv_gcm(srtp_job *job, uint32_t ssrc, uint32_t roc, uint16_t sequence) noexcept nogil:
    """RFC 7714 8.1: 00 00 || SSRC || ROC || SEQ, XOR salt."""
    xor64(job.iv, job.key.salt, <uint64_t>ssrc << 16 | roc >> 16)
    xor64(job.iv + 8, job.key.salt + 8, <uint64_t>roc << 48 | <uint64_t>sequence << 32)


# A batch of jobs on its way to the kernel, sorted by cipher.
cdef struct job_batch:
    srtp_job[64] jobs
    srtp_job *cm[64]
    srtp_job *gcm[64]
    uint32_t cm_count
    uint32_t gcm_count


cdef inline void batch_start(job_batch *batch) noexcept nogil:
    batch.cm_count = 0
    batch.gcm_count = 0


cdef inline void batch_add(job_batch *batch, srtp_job *job, uint8_t cipher) noexcept nogil:
    if cipher == SRTP_CIPHER_CM:
        batch.cm[batch.cm_count] = job
        batch.cm_count += 1
    else:
        batch.gcm[batch.gcm_count] = job
        batch.gcm_count += 1
