# Replay window (RFC 3711 3.3.2), the same for what was received and for what was sent: a ring of bits, the bit of
# index i at i mod size. A bit is cleared when the newest index passes over it.
#
# The ring's word that holds the newest index is kept in `recent`, beside that index: packets in order then touch the
# ring once in 64.

cdef inline uint64_t *window_words(srtp_stream *stream) noexcept nogil:
    if stream.is_wide:
        return (<srtp_wide *>arena_at(&STATE.wides, stream.wide)).window
    return stream.window


cdef inline uint64_t window_size(const srtp_stream *stream) noexcept nogil:
    return WIDE_BITS if stream.is_wide else WINDOW_BITS


cdef inline uint64_t *window_word(srtp_stream *stream, uint64_t index) noexcept nogil:
    """The word with the bit of `index`."""
    cdef uint64_t mask = window_size(stream) - 1
    if ((index ^ stream.highest) & mask) < 64:
        return &stream.recent
    return &window_words(stream)[(index & mask) >> 6]


cdef inline uint8_t window_check(srtp_stream *stream, uint64_t index, uint64_t width) noexcept nogil:
    """DROP_NONE when `index` is new, DROP_REPLAY when it is in the window and taken, DROP_TOO_OLD behind it."""
    if not stream.started or index > stream.highest:
        return DROP_NONE
    if stream.highest - index >= width:
        return DROP_TOO_OLD
    return DROP_REPLAY if window_word(stream, index)[0] >> (index & 63) & 1 else DROP_NONE


cdef void ring_clear(uint64_t *words, uint64_t size, uint64_t first, uint64_t count) noexcept nogil:
    """Clear the bits of `count` indices from `first` on, in a ring of `size` bits."""
    cdef uint64_t bits
    if count >= size:
        memset(words, 0, size >> 3)
        return
    while count:
        bits = min(64 - (first & 63), count)
        words[(first & (size - 1)) >> 6] &= ~((~<uint64_t>0 >> (64 - bits)) << (first & 63))
        first += bits
        count -= bits


cdef void window_clear(srtp_stream *stream) noexcept nogil:
    memset(window_words(stream), 0, window_size(stream) >> 3)
    stream.recent = 0


cdef void window_move(srtp_stream *stream, uint64_t index) noexcept nogil:
    """Make `index` the newest one, and clear the bits of those between."""
    cdef uint64_t *words = window_words(stream)
    cdef uint64_t size = window_size(stream)
    words[(stream.highest & (size - 1)) >> 6] = stream.recent
    ring_clear(words, size, stream.highest + 1, index - stream.highest - 1)
    stream.highest = index
    stream.recent = words[(index & (size - 1)) >> 6]


cdef inline void window_take(srtp_stream *stream, uint64_t index) noexcept nogil:
    """Mark `index`; moves the window when it is the newest."""
    if not stream.started:
        window_clear(stream)
        stream.started = stream.estimated = 1
        stream.highest = index
    elif index == stream.highest + 1 and index & 63:
        stream.highest = index
    elif index > stream.highest:
        window_move(stream, index)
    window_word(stream, index)[0] |= <uint64_t>1 << (index & 63)
