/* What the reader of captures needs of C: numbers of either byte order, long division, a fence for the sanitizer. */
#ifndef SRTPGW_PCAP_H
#define SRTPGW_PCAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Magic of a pcap file, in its own byte order: microseconds, nanoseconds, records with a longer header. */
#define PCAP_MICROSECONDS 0xA1B2C3D4u
#define PCAP_NANOSECONDS 0xA1B23C4Du
#define PCAP_MODIFIED 0xA1B2CD34u

#define SNAP_ETHERTYPE 0xAAAA0300u   /* LLC and the begin of SNAP (RFC 1042) before an EtherType */
#define CAPTURE_UNITS_MAX UINT64_MAX /* of a second */
#define CAPTURE_LAST_SECOND 4611686017ll /* in the year 2116: the difference of any two times fits into int64_t ns */

static inline uint16_t capture_load16(const uint8_t *p, int little) {
    uint16_t v;
    memcpy(&v, p, 2);
    return little ? v : __builtin_bswap16(v);
}
static inline uint32_t capture_load32(const uint8_t *p, int little) {
    uint32_t v;
    memcpy(&v, p, 4);
    return little ? v : __builtin_bswap32(v);
}
static inline uint64_t capture_load64(const uint8_t *p, int little) {
    uint64_t v;
    memcpy(&v, p, 8);
    return little ? v : __builtin_bswap64(v);
}

/* Nanoseconds since 1970 of a time stamp that counts `units` in a second; one out of reach becomes the last within. */
static inline int64_t capture_ns(uint64_t ticks, uint64_t units, int64_t offset_s) {
    uint64_t seconds = ticks / units, part = ticks % units;
    int64_t whole = seconds < (uint64_t)CAPTURE_LAST_SECOND ? (int64_t)seconds : CAPTURE_LAST_SECOND;
    if (offset_s > CAPTURE_LAST_SECOND || offset_s < -CAPTURE_LAST_SECOND) {
        offset_s = offset_s < 0 ? -CAPTURE_LAST_SECOND : CAPTURE_LAST_SECOND;
    }
    whole += offset_s;
    if (whole > CAPTURE_LAST_SECOND) {
        whole = CAPTURE_LAST_SECOND;
    }
    if (units <= 1000000000) {
        return whole * 1000000000 + (int64_t)(part * 1000000000 / units);
    }
    return whole * 1000000000 + (int64_t)((unsigned __int128)part * 1000000000 / units);
}

/* Under AddressSanitizer a packet is fenced in: whoever reads beyond it is caught, though the buffer goes on there. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
static inline void capture_fence(const uint8_t *buffer, size_t capacity, const uint8_t *packet, size_t len) {
    __asan_poison_memory_region(buffer, capacity);
    __asan_unpoison_memory_region(packet, len);
}
static inline void capture_unfence(const uint8_t *buffer, size_t capacity) {
    __asan_unpoison_memory_region(buffer, capacity);
}
#else
static inline void capture_fence(const uint8_t *buffer, size_t capacity, const uint8_t *packet, size_t len) {
    (void)buffer, (void)capacity, (void)packet, (void)len;
}
static inline void capture_unfence(const uint8_t *buffer, size_t capacity) { (void)buffer, (void)capacity; }
#endif

#endif
