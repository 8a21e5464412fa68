/* Coverage for the fuzz drivers, in the sanitizer build only: which edges of the native module's code were taken, and
 * roughly how often. The compiler calls the hook at each edge (-fsanitize-coverage=trace-pc).
 *
 * The map is written by any thread and without locks: a lost count does no harm. */
#include <stdint.h>
#include <string.h>

#define EDGES 65536

#define HIDDEN_FROM_ITSELF __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined")))

static uint8_t taken[EDGES]; /* how often since the last question */
static uint8_t seen[EDGES];  /* classes of counts ever met, one bit each */
static __thread uintptr_t before;

void __sanitizer_cov_trace_pc(void);

HIDDEN_FROM_ITSELF void __sanitizer_cov_trace_pc(void) {
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uintptr_t edge = ((place * 0x9E3779B97F4A7C15ull >> 48) ^ before) % EDGES;
    taken[edge] += taken[edge] < 255;
    before = (place * 0x9E3779B97F4A7C15ull >> 49) % EDGES;
}

/* 1, 2, 3, 4-7, 8-15, 16-31, 32-127, more */
HIDDEN_FROM_ITSELF static uint8_t class_of(uint8_t count) {
    static const uint8_t last[] = {1, 2, 3, 7, 15, 31, 127, 255};
    unsigned i = 0;
    while (count > last[i]) {
        i++;
    }
    return (uint8_t)(1u << i);
}

/* What was taken since the last call and never so often before: how many edges. */
HIDDEN_FROM_ITSELF __attribute__((visibility("default"))) uint32_t srtpgw_new_edges(void) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < EDGES; i++) {
        uint8_t class = taken[i] ? class_of(taken[i]) : 0;
        found += (class & ~seen[i]) != 0;
        seen[i] |= class;
    }
    memset(taken, 0, sizeof(taken));
    return found;
}

HIDDEN_FROM_ITSELF __attribute__((visibility("default"))) uint32_t srtpgw_all_edges(void) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < EDGES; i++) {
        found += seen[i] != 0;
    }
    return found;
}
