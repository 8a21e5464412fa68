# Blocks of pcapng (draft-ietf-opsawg-pcapng), which may change its byte order with every section:
#
#    type:32  length:32  body, padded to four octets  length:32 again
#
#   section header    0x0A0D0D0A  byte-order magic, major:16, minor:16, section length:64, options
#   interface         1           link type:16, reserved:16, snap length:32, options
#   obsolete packet   2           interface:16, drops:16, time:64, captured length, length on the wire, octets, options
#   simple packet     3           length on the wire, octets
#   enhanced packet   6           interface:32, time:64, captured length, length on the wire, octets, options
#   secrets           10          type:32, length:32, octets, options
#
# Blocks with a packet, secrets or an interface have to be in the buffer whole; all others are passed over.

cdef enum:
    PCAPNG_SECTION = 0x0A0D0D0A
    PCAPNG_INTERFACE = 1
    PCAPNG_OBSOLETE_PACKET = 2
    PCAPNG_SIMPLE_PACKET = 3
    PCAPNG_ENHANCED_PACKET = 6
    PCAPNG_SECRETS = 10
    PCAPNG_BYTE_ORDER = 0x1A2B3C4D
    PCAPNG_BYTE_ORDER_SWAPPED = 0x4D3C2B1A
    PCAPNG_HEADER = 8                   # type and length
    PCAPNG_TRAILER = 4
    PCAPNG_SECTION_BODY = 16
    PCAPNG_INTERFACE_BODY = 8
    PCAPNG_PACKET_BODY = 20             # enhanced and obsolete
    PCAPNG_SIMPLE_BODY = 4
    PCAPNG_SECRETS_BODY = 8
    BLOCK_LIMIT = 16777216              # octets of a block that has to be in the buffer whole
    OPTION_HEADER = 4
    OPTION_END = 0
    OPTION_NAME = 2
    OPTION_DESCRIPTION = 3
    OPTION_RESOLUTION = 9
    OPTION_OFFSET = 14
    RESOLUTION_BINARY = 0x80            # a power of two, else of ten
    SECRETS_RECORD = 8                  # type and length before each in the store

cdef inline bint numbered_block(uint32_t type) noexcept nogil:
    """Wireshark numbers these as frames though no network's packet is in them: journal, system calls, custom blocks."""
    return type in (9, 0x204, 0x216, 0x221, 0xBAD, 0x40000BAD)


cdef capture_step pcapng_pass(capture_file *f, uint32_t total) noexcept nogil:
    """Go over a block; its length at the end is looked at there."""
    f.hop = total - PCAPNG_TRAILER
    f.trailer = total
    f.block_at = f.at
    return STEP_ON


cdef capture_step pcapng_trailer(capture_file *f, const uint8_t *p, uint64_t there) noexcept nogil:
    cdef uint32_t total = f.trailer
    if there < PCAPNG_TRAILER:
        return file_more(f, PCAPNG_TRAILER)
    if capture_load32(p, f.little) != total:
        return file_fault(f, FAULT_BLOCK_ENDS, f.block_at, total, capture_load32(p, f.little))
    f.trailer = 0
    f.hop = PCAPNG_TRAILER
    return STEP_ON


cdef capture_step pcapng_section(capture_file *f, const uint8_t *p, uint64_t there) noexcept nogil:
    """A section header: byte order anew, interfaces numbered anew."""
    cdef uint32_t magic, total
    cdef uint16_t major, minor
    if there < PCAPNG_HEADER + PCAPNG_SECTION_BODY:
        return file_more(f, PCAPNG_HEADER + PCAPNG_SECTION_BODY)
    magic = load32(p + PCAPNG_HEADER)
    if magic != PCAPNG_BYTE_ORDER and magic != PCAPNG_BYTE_ORDER_SWAPPED:
        return file_fault(f, FAULT_BYTE_ORDER if f.at else FAULT_NOT_A_CAPTURE, f.at, 0, 0)
    f.little = magic == PCAPNG_BYTE_ORDER_SWAPPED
    total = capture_load32(p + 4, f.little)
    if total < PCAPNG_HEADER + PCAPNG_SECTION_BODY + PCAPNG_TRAILER or total % 4:
        return file_fault(f, FAULT_BLOCK_LENGTH, f.at, total, 0)
    major, minor = capture_load16(p + 12, f.little), capture_load16(p + 14, f.little)
    if major != 1 or minor not in (0, 2):
        return file_fault(f, FAULT_VERSION, f.at, major, minor)
    f.section_count = 0
    return pcapng_pass(f, total)


cdef uint64_t time_units(uint8_t resolution) noexcept nogil:
    """Of a second; a resolution beyond 64 bits leaves the seconds 0."""
    cdef uint64_t units = 1
    cdef uint32_t power = resolution & 0x7F
    if resolution & RESOLUTION_BINARY:
        return units << power if power < 64 else CAPTURE_UNITS_MAX
    if power >= 20:
        return CAPTURE_UNITS_MAX
    for _ in range(power):
        units *= 10
    return units


cdef void interface_option(const capture_file *f, capture_interface *made, uint16_t code, const uint8_t *p,
                           uint16_t length) noexcept nogil:
    cdef uint16_t kept = min(length, <uint16_t>INTERFACE_TEXT)
    if code == OPTION_NAME:
        memcpy(made.name, p, kept)
        made.name_length = kept
    elif code == OPTION_DESCRIPTION:
        memcpy(made.description, p, kept)
        made.description_length = kept
    elif code == OPTION_RESOLUTION and length == 1:
        made.units = time_units(p[0])
    elif code == OPTION_OFFSET and length == 8:
        made.offset_s = <int64_t>capture_load64(p, f.little)


cdef void interface_options(const capture_file *f, capture_interface *made, const uint8_t *p,
                            uint32_t length) noexcept nogil:
    """Options as far as they can be right; each takes at least its header, so this ends."""
    cdef uint32_t at = 0
    cdef uint16_t code, octets
    while length - at >= OPTION_HEADER:
        code, octets = capture_load16(p + at, f.little), capture_load16(p + at + 2, f.little)
        at += OPTION_HEADER
        if code == OPTION_END or octets > length - at:
            return
        interface_option(f, made, code, p + at, octets)
        at = min(at + ((<uint32_t>octets + 3) & ~<uint32_t>3), length)


cdef capture_step pcapng_interface(capture_file *f, const uint8_t *p, uint32_t body) noexcept nogil:
    cdef capture_interface *made
    if body < PCAPNG_INTERFACE_BODY:
        return file_fault(f, FAULT_BLOCK_SHORT, f.at, PCAPNG_HEADER + body + PCAPNG_TRAILER, 0)
    if f.section_count == INTERFACE_LIMIT or f.interface_count == INTERFACE_LIMIT:
        file_count(f, CAPTURE_INTERFACE_LIMIT)
        return STEP_ON
    if f.section == NULL:
        f.section = <uint32_t *>malloc(INTERFACE_LIMIT * sizeof(uint32_t))
    made = file_add_interface(f) if f.section != NULL else NULL
    if made == NULL:
        return file_fault(f, FAULT_MEMORY, f.at, 0, 0)
    f.section[f.section_count] = f.interface_count - 1
    f.section_count += 1
    made.linktype = capture_load16(p, f.little)
    made.snaplen = capture_load32(p + 4, f.little)
    made.units = 1000000
    interface_options(f, made, p + PCAPNG_INTERFACE_BODY, body - PCAPNG_INTERFACE_BODY)
    return STEP_ON


cdef capture_step pcapng_secrets(capture_file *f, const uint8_t *p, uint32_t body) noexcept nogil:
    """Keep the octets until they are taken."""
    cdef uint64_t room
    cdef uint32_t length
    cdef uint8_t *grown
    if body < PCAPNG_SECRETS_BODY:
        return file_fault(f, FAULT_BLOCK_SHORT, f.at, PCAPNG_HEADER + body + PCAPNG_TRAILER, 0)
    length = min(capture_load32(p + 4, f.little), body - PCAPNG_SECRETS_BODY)
    file_count(f, CAPTURE_SECRETS)
    room = f.secrets_len + SECRETS_RECORD + length
    if room > SECRETS_LIMIT:
        file_count(f, CAPTURE_SECRETS_LIMIT)
        return STEP_ON
    if room > f.secrets_room:
        room *= 2
        grown = <uint8_t *>malloc(room)  # not realloc, which would leave the secrets behind
        if grown == NULL:
            return file_fault(f, FAULT_MEMORY, f.at, 0, 0)
        if f.secrets != NULL:
            memcpy(grown, f.secrets, f.secrets_len)
            wipe(f.secrets, f.secrets_room)
            free(f.secrets)
        f.secrets, f.secrets_room = grown, room
    store32(f.secrets + f.secrets_len, capture_load32(p, f.little))
    store32(f.secrets + f.secrets_len + 4, length)
    memcpy(f.secrets + f.secrets_len + SECRETS_RECORD, p + PCAPNG_SECRETS_BODY, length)
    f.secrets_len += SECRETS_RECORD + length
    return STEP_ON


cdef capture_step section_frame(capture_file *f, uint32_t id, capture_frame *frame) noexcept nogil:
    """The interface that a packet names; without it neither link type nor time are known."""
    if id >= f.section_count:
        f.frames += 1
        file_count(f, CAPTURE_NO_INTERFACE)
        return STEP_ON
    frame.interface = f.section[id]
    return STEP_FRAME


cdef capture_step pcapng_packet(capture_file *f, const uint8_t *p, uint32_t body, bint obsolete,
                                capture_frame *frame) noexcept nogil:
    """Enhanced and obsolete packet blocks differ in how they write the interface."""
    cdef const capture_interface *interface
    cdef uint64_t ticks
    if body < PCAPNG_PACKET_BODY:
        return file_fault(f, FAULT_BLOCK_SHORT, f.at, PCAPNG_HEADER + body + PCAPNG_TRAILER, 0)
    frame.len = capture_load32(p + 12, f.little)
    if frame.len > body - PCAPNG_PACKET_BODY:
        return file_fault(f, FAULT_BLOCK_CONTENT, f.at, PCAPNG_HEADER + body + PCAPNG_TRAILER, frame.len)
    if frame.len > PACKET_LIMIT:
        return file_fault(f, FAULT_PACKET_LIMIT, f.at, frame.len, PACKET_LIMIT)
    frame.wire_len = max(capture_load32(p + 16, f.little), frame.len)
    frame.data = p + PCAPNG_PACKET_BODY
    if section_frame(f, capture_load16(p, f.little) if obsolete else capture_load32(p, f.little), frame) != STEP_FRAME:
        return STEP_ON
    interface = &f.interfaces[frame.interface]
    ticks = <uint64_t>capture_load32(p + 4, f.little) << 32 | capture_load32(p + 8, f.little)
    file_time(f, capture_ns(ticks, interface.units, interface.offset_s))
    return STEP_FRAME


cdef capture_step pcapng_simple(capture_file *f, const uint8_t *p, uint32_t body, capture_frame *frame) noexcept nogil:
    """The first interface's, cut to its snap length; it has no time."""
    if body < PCAPNG_SIMPLE_BODY:
        return file_fault(f, FAULT_BLOCK_SHORT, f.at, PCAPNG_HEADER + body + PCAPNG_TRAILER, 0)
    frame.wire_len = frame.len = capture_load32(p, f.little)
    frame.data = p + PCAPNG_SIMPLE_BODY
    if section_frame(f, 0, frame) != STEP_FRAME:
        return STEP_ON
    if f.interfaces[frame.interface].snaplen:
        frame.len = min(frame.len, f.interfaces[frame.interface].snaplen)
    if frame.len > body - PCAPNG_SIMPLE_BODY:
        return file_fault(f, FAULT_BLOCK_CONTENT, f.at, PCAPNG_HEADER + body + PCAPNG_TRAILER, frame.len)
    if frame.len > PACKET_LIMIT:
        return file_fault(f, FAULT_PACKET_LIMIT, f.at, frame.len, PACKET_LIMIT)
    file_count(f, CAPTURE_WITHOUT_TIME)
    f.frames += 1
    return STEP_FRAME


cdef inline capture_step pcapng_body(capture_file *f, uint32_t type, const uint8_t *p, uint32_t body,
                                     capture_frame *frame) noexcept nogil:
    if type == PCAPNG_ENHANCED_PACKET:
        return pcapng_packet(f, p, body, False, frame)
    if type == PCAPNG_SIMPLE_PACKET:
        return pcapng_simple(f, p, body, frame)
    if type == PCAPNG_OBSOLETE_PACKET:
        return pcapng_packet(f, p, body, True, frame)
    if type == PCAPNG_INTERFACE:
        return pcapng_interface(f, p, body)
    return pcapng_secrets(f, p, body)


cdef inline bint packet_block(uint32_t type) noexcept nogil:
    return type in (PCAPNG_ENHANCED_PACKET, PCAPNG_SIMPLE_PACKET, PCAPNG_OBSOLETE_PACKET)


cdef capture_step pcapng_other(capture_file *f, uint32_t type, uint32_t total) noexcept nogil:
    """A block that is not looked into."""
    if packet_block(type) or numbered_block(type):
        f.frames += 1
    if not packet_block(type):
        file_count(f, CAPTURE_OTHER_BLOCKS)
    return pcapng_pass(f, total)


cdef inline capture_step pcapng_step(capture_file *f, const uint8_t *p, uint64_t there,
                                     capture_frame *frame) noexcept nogil:
    cdef uint32_t type, total, end
    cdef capture_step step
    if f.trailer:
        return pcapng_trailer(f, p, there)
    if there < PCAPNG_HEADER:
        return file_more(f, PCAPNG_HEADER)
    type = capture_load32(p, f.little)
    if type == PCAPNG_SECTION:
        return pcapng_section(f, p, there)
    total = capture_load32(p + 4, f.little)
    if total < PCAPNG_HEADER + PCAPNG_TRAILER or total % 4:
        return file_fault(f, FAULT_BLOCK_LENGTH, f.at, total, 0)
    if type != PCAPNG_INTERFACE and type != PCAPNG_SECRETS and (f.secrets_only or not packet_block(type)):
        return pcapng_other(f, type, total)
    if total > BLOCK_LIMIT:
        return file_fault(f, FAULT_BLOCK_LIMIT, f.at, total, BLOCK_LIMIT)
    if there < total:
        return file_more(f, total)
    end = capture_load32(p + total - PCAPNG_TRAILER, f.little)
    if end != total:
        return file_fault(f, FAULT_BLOCK_ENDS, f.at, total, end)
    step = pcapng_body(f, type, p + PCAPNG_HEADER, total - PCAPNG_HEADER - PCAPNG_TRAILER, frame)
    f.hop = total
    return step
