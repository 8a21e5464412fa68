# What the reader of captures hands to those who look at packets: one UDP or TCP payload with where it came from.

cdef struct pcap_packet:
    uint64_t frame              # as Wireshark counts: every packet of the file, from 1
    int64_t time_ns             # since 1970; the difference of any two fits, too
    const uint8_t *data         # payload of UDP or TCP; good until the reader is asked for the next packet
    uint32_t len                # octets of it that were captured
    uint32_t wire_len           # octets of it on the wire
    uint32_t interface          # number in the reader's list
    uint32_t tcp_sequence       # of the first octet; with SYN, of the one behind it
    uint16_t source_port
    uint16_t destination_port
    uint8_t family              # 4 or 6
    uint8_t protocol            # 17 UDP, 6 TCP
    uint8_t tcp_flags
    uint8_t reassembled         # from fragments: frame and time are those of the one that completed it
    uint8_t[16] source          # IPv4 in the first four, the others 0
    uint8_t[16] destination
