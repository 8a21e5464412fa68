# Runs once, at import: pick the kernels, hold them against known answers, reserve the arenas.

KERNELS = chosen_kernels(os.environ.get("SRTPGW_KERNELS", "").encode())
state_open(os.urandom(8))
API_ROOM = <uint8_t *>mmap(NULL, API_OCTETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
if <void *>API_ROOM == <void *>-1:
    raise MemoryError("cannot reserve packet buffers")
madvise(API_ROOM, API_OCTETS, MADV_DONTDUMP)
madvise(API_ROOM, API_OCTETS, MADV_WIPEONFORK)
API_ROOM += ENGINE_HEAD_ROOM
DROP_NAMES = tuple(srtpgw_drop_names[i].name.decode() for i in range(DROP_COUNT))
DROP_HELP = tuple(srtpgw_drop_names[i].help.decode() for i in range(DROP_COUNT))
COUNTER_NAMES = tuple(srtpgw_counter_names[i].name.decode() for i in range(COUNTER_COUNT))
COUNTER_HELP = tuple(srtpgw_counter_names[i].help.decode() for i in range(COUNTER_COUNT))
EVENT_NAMES = tuple(srtpgw_event_names[i].name.decode() for i in range(EVENT_COUNT))
EVENT_HELP = tuple(srtpgw_event_names[i].help.decode() for i in range(EVENT_COUNT))
LEG_CAPACITY = STATE.legs.capacity
LOAD_COUNTER_NAMES = tuple(load_counter_names[i].name.decode() for i in range(LOAD_COUNTER_COUNT))
LOAD_COUNTER_HELP = tuple(load_counter_names[i].help.decode() for i in range(LOAD_COUNTER_COUNT))
LOAD_PAYLOAD_LIMIT = LOAD_PAYLOAD_MAX
LOAD_BUCKET_COUNT = LOAD_BUCKETS
