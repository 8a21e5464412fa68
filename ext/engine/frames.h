/* What the engines have in common: the buffers behind their frames and where a frame may go.
 *
 * Buffers hold decrypted media: they are kept out of core dumps and of forked children, and wiped before they go back
 * to the system.
 *
 *   | head room 64 | datagram, up to 65507 octets | tail room 512 | padding |
 *                  ^ frame->data, on a cache line
 *
 * The stride is an odd number of cache lines, so the heads of consecutive buffers, which are all that a media packet
 * touches, spread over every set of the cache instead of meeting in a few. */
#ifndef SRTPGW_FRAMES_H
#define SRTPGW_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

enum {
    DSCP_MAX = 63,
    CACHE_LINE = 64,
    BUFFER_LINES = (ENGINE_HEAD_ROOM + ENGINE_FRAME_MAX + ENGINE_TAIL_ROOM + CACHE_LINE - 1) / CACHE_LINE | 1,
    BUFFER_STRIDE = BUFFER_LINES * CACHE_LINE,
    BUFFER_CAPACITY = BUFFER_STRIDE - ENGINE_HEAD_ROOM, /* engine_frame.capacity */
};

/* NULL with errno set on failure. Pages are taken from the system as they are first touched. */
static inline uint8_t *buffers_map(size_t count) {
    size_t size = count * BUFFER_STRIDE;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    /* Refused only by kernels older than the advice: the second lock on a door that a non-dumpable process shuts. */
    (void)madvise(base, size, MADV_DONTDUMP);
    (void)madvise(base, size, MADV_WIPEONFORK);
    return base;
}

/* Where the datagram of a buffer starts. */
static inline uint8_t *buffer_data(uint8_t *base, size_t number) {
    return base + number * BUFFER_STRIDE + ENGINE_HEAD_ROOM;
}

/* Wipes a buffer whose datagrams, from `data` on, were never longer than `longest`. */
static inline void datagram_wipe(uint8_t *data, size_t longest) {
    explicit_bzero(data - ENGINE_HEAD_ROOM, ENGINE_HEAD_ROOM + longest + ENGINE_TAIL_ROOM);
}
static inline void buffer_wipe(uint8_t *base, size_t number, size_t longest) {
    datagram_wipe(buffer_data(base, number), longest);
}

static inline void buffers_unmap(uint8_t *base, size_t count) { munmap(base, count * BUFFER_STRIDE); }

/* Can a port of this family send there? An unspecified address never: the kernel would take it for this host. */
static inline bool can_reach(uint8_t family, const endpoint *remote) {
    static const uint8_t unspecified[sizeof remote->address];
    size_t length = family == 4 ? 4 : sizeof remote->address;
    return remote->family == family && memcmp(remote->address, unspecified, length) != 0;
}

#endif
