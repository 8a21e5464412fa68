/* The few atomic operations that the loop and the arenas need, by the names that say what they are for. */
#ifndef SRTPGW_ATOMICS_H
#define SRTPGW_ATOMICS_H

#include <stdint.h>

static inline void spin_lock(uint32_t *lock) {
    while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(lock, __ATOMIC_RELAXED)) {
        }
    }
}
static inline void spin_unlock(uint32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }
static inline uint32_t load_acquire(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void store_release(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t fetch_add64(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }

/* A memset that the compiler may not drop. */
static inline void wipe(void *p, unsigned long len) {
    __builtin_memset(p, 0, len);
    __asm__ __volatile__("" : : "r"(p) : "memory");
}
/* The empty statement is an effect: without one the compiler drops every call of a function that only prefetches. */
static inline void prefetch(const void *p) {
    __builtin_prefetch(p, 1);
    __asm__ __volatile__("");
}

#endif
