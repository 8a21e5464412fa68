# srtpgw._native: the contents. Each file's head says what it is for; README.md draws how they fit together.
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset
from libc.stdlib cimport calloc, free, malloc, realloc

from load cimport *
from state cimport *

import os
import sys

include "arena.pxi"
include "window.pxi"
include "rtp.pxi"
include "srtp_keys.pxi"
include "srtp_context.pxi"
include "srtp_send.pxi"
include "srtp_receive.pxi"
include "srtp_search.pxi"
include "provider.pxi"
include "srtp_state.pxi"
include "srtp_api.pxi"
include "rtcp.pxi"
include "stats.pxi"
include "prefetch.pxi"
include "relay.pxi"
include "loop.pxi"
include "flow.pxi"
include "load_packet.pxi"
include "load_schedule.pxi"
include "load_generator.pxi"
include "load_sink.pxi"
include "load_loop.pxi"
include "load_settings.pxi"
include "load.pxi"
include "measure.pxi"
include "pcap_packet.pxi"
include "pcap_file.pxi"
include "pcap_blocks.pxi"
include "pcap_link.pxi"
include "pcap_fragments.pxi"
include "pcap_ip.pxi"
include "pcap.pxi"
include "pcap_streams.pxi"
include "pcap_survey.pxi"
include "pcap_trials.pxi"
include "pcap_match.pxi"
include "pcap_rocs.pxi"
include "pcap_features.pxi"
include "pcap_write.pxi"
include "pcap_sequence.pxi"
include "pcap_timeline.pxi"
include "pcap_index.pxi"
include "pcap_reuse.pxi"
include "pcap_examined.pxi"
include "pcap_records.pxi"
include "pcap_examine.pxi"
include "start.pxi"
