# Under which key and index a packet of a stream is authentic. A stream has lines: keys that some packet of it was
# found to be authentic under, with an index to estimate from. What fails at the first estimate is tried on the other
# lines, and, as far as the stream's allowance goes, one rollover counter off, at the beginning, and under the count
# that another line has reached.

cdef enum:
    LINES_MAX = 40              # of one stream
    TRIALS_MAX = 128            # for one packet: lines, and their other rollover counters
    SEARCH_ALLOWANCE = 64       # packets that fail in a row and are still tried everywhere
    SEARCH_SELDOM = 16          # then every so many

cdef struct key_line:
    uint64_t newest             # index; before the first authentic packet that of the sample which was matched
    uint64_t frame              # the first authentic one
    int64_t time_ns
    uint32_t packets            # authentic
    uint32_t roc                # of the first
    uint32_t key                # its number in TrialKeys
    uint32_t record             # its session keys
    uint32_t group              # of streams with the same keystream; 0: alone
    uint32_t family             # keys of the same octets
    uint8_t suite
    uint8_t mki_len
    uint8_t mki_known           # its octets are those of the key; otherwise only the length is known
    uint8_t numbered            # `newest` holds

cdef struct key_trial:
    uint64_t index
    uint32_t line

# Where one packet was tried.
cdef struct key_trials:
    key_trial[TRIALS_MAX] tried
    uint32_t count


cdef void make_form(srtp_context *form, int suite, bint rtcp) noexcept:
    """What job_rtp() and job_rtcp() ask of a context: parameters only, no keys and no sources."""
    memset(form, 0, sizeof(srtp_context))
    form.suite = <uint8_t>suite
    form.cipher = srtp_suites[suite].cipher
    form.tag_len = srtp_suites[suite].rtcp_tag_len if rtcp else srtp_suites[suite].rtp_tag_len
    form.flags = CONTEXT_ENCRYPT if srtp_suites[suite].encrypts else 0
    if rtcp:
        form.flags |= CONTEXT_RTCP


cdef inline uint32_t line_trailer(const srtp_context *form, const key_line *line) noexcept nogil:
    """Octets behind the payload: tag, MKI, and E with the index."""
    return <uint32_t>form.tag_len + line.mki_len + (4 if form.flags & CONTEXT_RTCP else 0)


cdef inline bint has_mki(const srtp_context *form, const key_line *line, const uint8_t *data,
                         uint32_t length) noexcept nogil:
    """Whether the packet names the line's key (RFC 3711 3.1: before the tag; behind it for GCM)."""
    cdef uint32_t behind = line.mki_len + (form.tag_len if form.cipher == SRTP_CIPHER_CM else 0)
    if line.mki_len == 0 or not line.mki_known:
        return True
    return length >= behind and memcmp(key_at(line.record).mki, data + length - behind, line.mki_len) == 0


cdef inline bint line_job_rtp(const srtp_context *form, const key_line *line, srtp_job *job, uint8_t *data,
                              uint32_t length, uint64_t index) noexcept nogil:
    """Fill the job of an SRTP packet. False where it cannot be one of the line."""
    cdef uint32_t trailer = line_trailer(form, line), header
    if length < RTP_HEADER + trailer or index >= SRTP_INDEX_END:
        return False
    header = rtp_header_length(data, length - trailer)
    if header == 0 or not has_mki(form, line, data, length):
        return False
    job_rtp(form, key_at(line.record), job, data, header, length - trailer, index, rtp_ssrc(data))
    job.tag = data + length - (trailer if form.cipher == SRTP_CIPHER_GCM else form.tag_len)
    return True


cdef inline uint32_t srtcp_word(const srtp_context *form, const key_line *line, const uint8_t *data,
                                uint32_t length) noexcept nogil:
    """E and the index of an SRTCP packet, which is long enough (RFC 3711 3.4, RFC 7714 9.2)."""
    cdef uint32_t end = length - line_trailer(form, line)
    return load32(data + (end if form.cipher == SRTP_CIPHER_CM else end + SRTP_GCM_TAG_LEN))


cdef inline bint line_job_rtcp(const srtp_context *form, const key_line *line, srtp_job *job, uint8_t *data,
                               uint32_t length) noexcept nogil:
    """Fill the job of an SRTCP packet, encrypted or not. False where it cannot be one of the line."""
    cdef uint32_t trailer = line_trailer(form, line)
    if length < RTCP_HEADER + trailer or not has_mki(form, line, data, length):
        return False
    job_rtcp(form, key_at(line.record), job, data, length - trailer, srtcp_word(form, line, data, length),
             load32(data + 4))
    job.tag = data + (length - trailer if form.cipher == SRTP_CIPHER_GCM else length - form.tag_len)
    return True


cdef inline int64_t line_estimate(const key_line *line, uint16_t sequence) noexcept nogil:
    """The index by the line's newest one. Negative where there is none."""
    return guess_index(line.newest, sequence) if line.numbered else <int64_t>sequence


cdef bint trial_is_new(key_trials *self, uint32_t line, int64_t index) noexcept nogil:
    """Whether a packet was not tried there yet; it is noted."""
    cdef uint32_t i
    if index < 0 or self.count == TRIALS_MAX:
        return False
    for i in range(self.count):
        if self.tried[i].index == <uint64_t>index and self.tried[i].line == line:
            return False
    self.tried[self.count].index = <uint64_t>index
    self.tried[self.count].line = line
    self.count += 1
    return True
