# The indices and windows of a context as octets: a header, then each source's record, then its wide window where it
# has one; first the SRTP context, then the SRTCP one. In the byte order and layout of this build; no key.

cdef extern from *:
    """
    typedef struct state_header {
        char magic[8];
        uint32_t layout;
        uint32_t streams;
        uint16_t flags;
        uint16_t window;
        uint8_t suite;
        uint8_t key_count;
        uint8_t active;
        uint8_t reserved;
        uint32_t fresh_count;
        uint64_t fresh_seed;
        uint32_t initial_roc;
        uint32_t initial_index;
        uint64_t left[CONTEXT_KEYS];
    } state_header;
    static const char STATE_MAGIC[8] = {'s', 'r', 't', 'p', 's', 't', 'a', '1'};
    """
    const char *STATE_MAGIC
    ctypedef struct state_header:
        char *magic
        uint32_t layout
        uint32_t streams
        uint16_t flags
        uint16_t window
        uint8_t suite
        uint8_t key_count
        uint8_t active
        uint32_t fresh_count
        uint64_t fresh_seed
        uint32_t initial_roc
        uint32_t initial_index
        uint64_t *left

cdef enum:
    STATE_FLAGS = CONTEXT_SENDER | CONTEXT_RTCP
    STATE_KNOWLEDGE = CONTEXT_RENAME | CONTEXT_FORGOT


cdef size_t state_size(const srtp_context *context) noexcept nogil:
    cdef size_t size = sizeof(state_header)
    cdef uint32_t number = context.first
    while number:
        size += sizeof(srtp_stream) + (sizeof(srtp_wide) if stream_at(number).wide else 0)
        number = stream_at(number).next
    return size


cdef size_t export_context(const srtp_context *context, uint8_t *out) noexcept nogil:
    """Write the context's state, state_size() octets."""
    cdef state_header header
    cdef srtp_stream kept
    cdef uint8_t *start = out
    cdef uint32_t number = context.first
    cdef int i
    memset(&header, 0, sizeof(header))
    memcpy(header.magic, STATE_MAGIC, 8)
    header.layout = STATE_LAYOUT
    header.streams = context.stream_count
    header.suite = context.suite
    header.flags = context.flags & (STATE_FLAGS | STATE_KNOWLEDGE)
    header.fresh_count = context.fresh_count
    header.fresh_seed = context.fresh_seed
    header.key_count = context.key_count
    header.active = context.active
    header.window = context.window
    header.initial_roc = context.initial_roc
    header.initial_index = context.initial_index
    for i in range(CONTEXT_KEYS):
        header.left[i] = context.key[i].left
    memcpy(out, &header, sizeof(header))
    out += sizeof(header)
    while number:
        kept = stream_at(number)[0]
        kept.next = 0  # record numbers mean nothing elsewhere
        kept.wide = kept.wide != 0
        memcpy(out, &kept, sizeof(srtp_stream))
        out += sizeof(srtp_stream)
        if stream_at(number).wide:
            memcpy(out, arena_at(&STATE.wides, stream_at(number).wide), sizeof(srtp_wide))
            out += sizeof(srtp_wide)
        number = stream_at(number).next
    return out - start


cdef bytes export_contexts(uint32_t *number):
    cdef size_t first = state_size(context_at(number[RTP]))
    cdef size_t second = state_size(context_at(number[RTCP]))
    cdef bytearray out = bytearray(first + second)
    export_context(context_at(number[RTP]), <uint8_t *><char *>out)
    export_context(context_at(number[RTCP]), <uint8_t *><char *>out + first)
    return bytes(out)


cdef int restore_stream(srtp_context *context, const uint8_t *octets, size_t left) except -1:
    """One source. The octets it took, or ValueError."""
    cdef srtp_stream kept
    cdef srtp_stream *stream
    cdef uint32_t next_stream, wide
    if left < sizeof(srtp_stream):
        raise ValueError("the state is cut short")
    memcpy(&kept, octets, sizeof(srtp_stream))
    if kept.wide and left < sizeof(srtp_stream) + sizeof(srtp_wide):
        raise ValueError("the state is cut short")
    if kept.highest > (SRTCP_INDEX_END if context.flags & CONTEXT_RTCP else SRTP_INDEX_END - 1):
        raise ValueError("the state holds an index that no packet can have")
    if find_stream(context, kept.ssrc) != NULL:
        raise ValueError("the state names a source twice, or one that this context knows already")
    stream = add_stream(context, kept.ssrc)
    if stream == NULL or (kept.wide != 0) != (stream.wide != 0):
        raise ValueError("the state has more sources or another window than this context takes")
    next_stream = stream.next
    wide = stream.wide
    stream[0] = kept
    stream.next = next_stream
    stream.wide = wide
    stream.is_wide = wide != 0
    stream.taken = 1
    if not wide:
        return sizeof(srtp_stream)
    memcpy(arena_at(&STATE.wides, wide), octets + sizeof(srtp_stream), sizeof(srtp_wide))
    return sizeof(srtp_stream) + sizeof(srtp_wide)


cdef void reverse_streams(srtp_context *context) noexcept nogil:
    """Each was put in front as it was read: most recently used first, as exported."""
    cdef uint32_t number = context.first, following
    context.first = 0
    while number:
        following = stream_at(number).next
        stream_at(number).next = context.first
        context.first = number
        number = following


cdef size_t restore_context(srtp_context *context, const uint8_t *octets, size_t left) except 0:
    """The octets it took, or ValueError."""
    cdef state_header header
    cdef size_t at = sizeof(header)
    cdef int i
    if left < sizeof(header):
        raise ValueError("the state is cut short")
    memcpy(&header, octets, sizeof(header))
    if memcmp(header.magic, STATE_MAGIC, 8) != 0 or header.layout != STATE_LAYOUT:
        raise ValueError("not the state of an SRTP context, or of another version")
    if header.suite != context.suite or header.flags & STATE_FLAGS != context.flags & STATE_FLAGS:
        raise ValueError("the state is of another suite or direction")
    if header.initial_index > SRTCP_INDEX_END:
        raise ValueError("the state holds an index that no packet can have")
    if header.key_count != context.key_count or header.active >= context.key_count:
        raise ValueError("the state is of another number of master keys")
    if context.first or context.previous:
        raise ValueError("state is restored before the first packet only, and not after a re-key")
    for _ in range(header.streams):
        at += restore_stream(context, octets + at, left - at)
    reverse_streams(context)
    context.flags |= header.flags & STATE_KNOWLEDGE
    context.fresh_count = header.fresh_count
    context.fresh_seed = header.fresh_seed
    context.active = header.active
    context.initial_roc = header.initial_roc
    context.initial_index = max(context.initial_index, header.initial_index)
    for i in range(CONTEXT_KEYS):
        context.key[i].left = min(context.key[i].left, header.left[i])
    return at


cdef int restore_contexts(uint32_t *number, bytes state) except -1:
    """Both contexts, or neither: one that was told half of what it sent must not send."""
    cdef const uint8_t *octets = <const uint8_t *><const char *>state
    cdef size_t left = len(state), first
    try:
        first = restore_context(context_at(number[RTP]), octets, left)
        if first + restore_context(context_at(number[RTCP]), octets + first, left - first) != left:
            raise ValueError("the state has octets too many")
    except ValueError:
        context_at(number[RTP]).live = context_at(number[RTCP]).live = 0
        raise
    return 0
