# Replay window (RFC 3711 3.3.2), the same for what was received and for what was sent: a ring of bits, the bit of
# index i at i mod size. A bit is cleared when the newest index passes over it.

cdef inline uint64_t *window_words(srtp_stream *stream) noexcept nogil:
    if stream.wide:
        return (<srtp_wide *>arena_at(&STATE.wides, stream.wide)).window
    return stream.window


cdef inline uint64_t window_size(const srtp_stream *stream) noexcept nogil:
    return WIDE_BITS if stream.wide else WINDOW_BITS


cdef inline uint8_t window_check(srtp_stream *stream, uint64_t index, uint64_t width) noexcept nogil:
    """DROP_NONE when `index` is new, DROP_REPLAY when it is in the window and taken, DROP_TOO_OLD behind it."""
    cdef uint64_t position
    if not stream.started or index > stream.highest:
        return DROP_NONE
    if stream.highest - index >= width:
        return DROP_TOO_OLD
    position = index & (window_size(stream) - 1)
    return DROP_REPLAY if window_words(stream)[position >> 6] >> (position & 63) & 1 else DROP_NONE


cdef void window_clear(uint64_t *words, uint64_t size, uint64_t first, uint64_t count) noexcept nogil:
    """Clear the bits of `count` indices from `first` on."""
    cdef uint64_t position, bits
    if count >= size:
        memset(words, 0, size >> 3)
        return
    while count:
        position = first & (size - 1)
        bits = 64 - (position & 63)
        if bits > count:
            bits = count
        words[position >> 6] &= ~((~<uint64_t>0 >> (64 - bits)) << (position & 63))
        first += bits
        count -= bits


cdef inline void window_take(srtp_stream *stream, uint64_t index) noexcept nogil:
    """Mark `index`; moves the window when it is the newest."""
    cdef uint64_t *words = window_words(stream)
    cdef uint64_t size = window_size(stream)
    cdef uint64_t position = index & (size - 1)
    if not stream.started:
        memset(words, 0, size >> 3)
        stream.started = stream.estimated = 1
        stream.highest = index
    elif index > stream.highest:
        if index - stream.highest > 1:
            window_clear(words, size, stream.highest + 1, index - stream.highest - 1)
        stream.highest = index
    words[position >> 6] |= <uint64_t>1 << (position & 63)
