# The reader of captures: octets in, packets out. Whoever holds the file puts its octets where
# space() says, and a consumer takes packets until more octets are needed:
#
#    while count := file.readinto(reader.space()):
#        reader.filled(count)
#        consumer.run(reader)
#    reader.finish()
#    consumer.run(reader)
#
#    octets --> pcap_file, pcap_blocks --> frame --> pcap_link --> IP --> pcap_ip, pcap_fragments --> pcap_packet
#
# Packets are looked at where they lie; only the beginning of a block whose end is still to come is moved.

cdef enum:
    CAPTURE_ROOM = 262144               # octets of the buffer, unless a block needs more: stays within a core's cache
    CAPTURE_LEAST_ROOM = 64


cdef extern from "Python.h":
    int PyBuffer_FillInfo(Py_buffer *view, object owner, void *data, Py_ssize_t length, int readonly,
                          int flags) except -1


cdef class CaptureBuffer:
    """Memory that views of it keep alive."""
    cdef uint8_t *data
    cdef uint64_t room

    def __cinit__(self, uint64_t room):
        self.data = <uint8_t *>malloc(room)
        if self.data == NULL:
            raise MemoryError("no memory to read a capture into")
        self.room = room

    def __dealloc__(self):
        if self.data != NULL:
            capture_unfence(self.data, self.room)
        free(self.data)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.room, False, flags)


cdef class CaptureReader:
    """Reads one capture, once. `secrets_only`: packets are numbered and passed over. `room`: octets of the buffer.

    Octets of the file that are not looked at yet lie from `begin` to `end` of the buffer.
    """
    cdef CaptureBuffer buffer
    cdef uint64_t begin
    cdef uint64_t end
    cdef bint finished
    cdef capture_file file
    cdef fragment_table *fragments

    def __cinit__(self, *, bint secrets_only=False, uint64_t room=CAPTURE_ROOM):
        self.buffer = CaptureBuffer(max(room, <uint64_t>CAPTURE_LEAST_ROOM))
        self.fragments = <fragment_table *>calloc(1, sizeof(fragment_table))
        if self.fragments == NULL:
            raise MemoryError("no memory for fragments")
        self.file.secrets_only = secrets_only

    def __dealloc__(self):
        free(self.fragments)
        file_free(&self.file)

    # --- octets in

    def space(self):
        """Where the next octets go; at least one fits. Packets handed out before are gone."""
        cdef CaptureBuffer larger
        cdef uint64_t left = self.end - self.begin
        capture_unfence(self.buffer.data, self.buffer.room)
        if self.file.fault:
            left = 0  # nothing is looked at any more
        if self.file.need > self.buffer.room:
            larger = CaptureBuffer(2 * self.file.need)
            memcpy(larger.data, self.buffer.data + self.begin, left)
            self.buffer = larger
        else:
            memmove(self.buffer.data, self.buffer.data + self.begin, left)
        self.begin, self.end = 0, left
        if left == self.buffer.room:
            raise RuntimeError("the packets that are there have to be taken first")
        return memoryview(self.buffer)[left:]

    def filled(self, uint64_t count):
        """So many octets were put there."""
        if count > self.buffer.room - self.end:
            raise ValueError(f"{count} octets do not fit into the {self.buffer.room - self.end} that were free")
        self.end += count

    def finish(self):
        """The file ends here."""
        self.finished = True

    # --- packets out

    cdef void consume(self) noexcept nogil:
        """Go over what the last step was done with, as far as it is there."""
        cdef uint64_t there = min(self.file.hop, self.end - self.begin)
        self.begin += there
        self.file.at += there
        self.file.hop -= there

    cdef void starve(self) noexcept nogil:
        """There are fewer octets than the next step needs. At the end of the file this is where it is damaged."""
        cdef uint64_t there = self.end - self.begin
        cdef uint64_t since = self.file.at - self.file.block_at
        if not self.finished:
            return
        if self.file.trailer:
            file_fault(&self.file, FAULT_CUT_OFF, self.file.block_at, self.file.trailer, since + there)
        elif self.file.hop:
            file_fault(&self.file, FAULT_CUT_OFF, self.file.block_at, since + self.file.hop, since)
        elif self.file.at == 0 and there == 0:
            file_fault(&self.file, FAULT_EMPTY, 0, 0, 0)
        elif self.file.at == 0 and self.file.need == CAPTURE_MAGIC:
            file_fault(&self.file, FAULT_NOT_A_CAPTURE, 0, 0, 0)
        elif there:
            file_fault(&self.file, FAULT_CUT_OFF, self.file.at, self.file.need, there)

    cdef bint frame(self, capture_frame *frame) noexcept nogil:
        """The next frame of the file."""
        cdef capture_step step
        if self.file.fault:
            return False
        while True:
            self.consume()
            if self.file.hop:
                break
            self.file.need = 0
            step = file_step(&self.file, self.buffer.data + self.begin, self.end - self.begin, frame)
            if step == STEP_FRAME:
                return True
            if step == STEP_FAULT:
                return False
            if step == STEP_MORE:
                break
        self.starve()
        return False

    cdef bint next(self, pcap_packet *packet) noexcept nogil:
        """The next packet. False: more octets are needed, or it was the last one."""
        cdef capture_frame frame
        cdef link_rest rest
        cdef capture_counter outcome
        capture_unfence(self.buffer.data, self.buffer.room)
        while self.frame(&frame):
            capture_fence(self.buffer.data, self.buffer.room, frame.data, frame.len)
            outcome = link_open(&self.file, &frame, &rest)
            if outcome == CAPTURE_PACKETS:
                memset(packet, 0, sizeof(pcap_packet))
                packet.interface = frame.interface
                outcome = ip_open(&self.file, self.fragments, &rest, packet)
            capture_unfence(self.buffer.data, self.buffer.room)
            if outcome == CAPTURE_PACKETS:
                self.hand_out(packet)
                return True
            if outcome != CAPTURE_FRAGMENTS:  # those are counted where they are taken in
                file_count(&self.file, outcome)
        return False

    cdef void hand_out(self, pcap_packet *packet) noexcept nogil:
        packet.frame = self.file.frames
        packet.time_ns = self.file.time_ns
        file_count(&self.file, CAPTURE_PACKETS)
        if packet.len < packet.wire_len:
            file_count(&self.file, CAPTURE_CUT)
        if not packet.reassembled:
            capture_fence(self.buffer.data, self.buffer.room, packet.data, packet.len)

    # --- for Python

    def skip(self):
        """Go over all packets that are there. How many they were."""
        cdef pcap_packet packet
        cdef uint64_t count = 0
        with nogil:
            while self.next(&packet):
                count += 1
        return count

    def packets(self):
        """All packets that are there: tuples of frame, time_ns, interface, family, protocol, source, source port,
        destination, destination port, payload, octets of it on the wire, TCP sequence number and flags, reassembled."""
        cdef pcap_packet p
        cdef uint32_t octets
        found = []
        while self.next(&p):
            octets = 4 if p.family == 4 else 16
            found.append((p.frame, p.time_ns, p.interface, p.family, p.protocol, p.source[:octets], p.source_port,
                          p.destination[:octets], p.destination_port, p.data[:p.len], p.wire_len, p.tcp_sequence,
                          p.tcp_flags, bool(p.reassembled)))
        return found

    def take_secrets(self):
        """Blocks of decryption secrets since the last call: (type, octets)."""
        cdef uint64_t at = 0
        cdef uint32_t length
        taken = []
        while at < self.file.secrets_len:
            length = load32(self.file.secrets + at + 4)
            octets = self.file.secrets[at + SECRETS_RECORD:at + SECRETS_RECORD + length]
            taken.append((load32(self.file.secrets + at), octets))
            at += SECRETS_RECORD + length
        if at:
            wipe(self.file.secrets, self.file.secrets_len)
        self.file.secrets_len = 0
        return taken

    @property
    def fault(self):
        """Why nothing behind can be read, in words; None as long as it can."""
        if self.file.fault == FAULT_NONE:
            return None
        return _CAPTURE_FAULTS[<int>self.file.fault].format(at=f"{self.file.fault_at:,}", a=self.file.fault_a,
                                                            b=self.file.fault_b)

    def describe(self):
        """What is known so far. Of the counters, those that are not 0; first and last time None without packets."""
        return {
            "format": (None, "pcap", "pcapng")[<int>self.file.format],
            "interfaces": [interface_dict(&self.file.interfaces[i]) for i in range(self.file.interface_count)],
            "frames": self.file.frames,
            "first_ns": self.file.first_ns if self.file.timed else None,
            "last_ns": self.file.last_ns if self.file.timed else None,
            "counters": self.counters(),
            "fault": self.fault,
        }

    cdef dict counters(self):
        cdef dict found = {name: self.file.counters[i] for i, name in enumerate(_CAPTURE_COUNTER_NAMES)}
        cdef int i
        if self.finished:
            for i in range(FRAGMENT_SLOTS):
                found["fragment-missing"] += self.fragments.slots[i].state == FRAGMENT_WAITING
        for i in range(LINKTYPE_LIMIT):
            if self.file.linktype_frames[i]:
                found[f"link-type-{self.file.linktypes[i]}"] = self.file.linktype_frames[i]
        return {name: count for name, count in found.items() if count}


cdef dict interface_dict(const capture_interface *interface):
    name = interface.name[:interface.name_length].decode("utf-8", "replace")
    return {
        "name": f"ifindex {interface.ifindex}" if interface.ifindex else name,
        "description": interface.description[:interface.description_length].decode("utf-8", "replace"),
        "linktype": interface.linktype,
        "snaplen": interface.snaplen,
    }
