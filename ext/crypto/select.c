/* Which tiers there are, and which the CPU can run. */
#include <stdatomic.h>
#include <string.h>

#include "parts.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { DECIDED = 1u << 30 };

#if defined(__x86_64__)
/* Bit 1 of XCR0: the system saves the SSE registers. Without XGETBV it does so by the x86-64 ABI. */
static int system_saves_sse(uint32_t leaf1_ecx) {
    uint32_t low, high;

    if (!(leaf1_ecx & bit_OSXSAVE)) {
        return 1;
    }
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 2) != 0;
}

static unsigned detect(void) {
    uint32_t a, b, c, d;
    unsigned found = 0;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !system_saves_sse(c)) {
        return 0;
    }
    found |= c & bit_AES ? SRTP_CPU_AES : 0;
    found |= c & bit_PCLMUL ? SRTP_CPU_PCLMULQDQ : 0;
    found |= c & bit_SSSE3 ? SRTP_CPU_SSSE3 : 0;
    found |= c & bit_SSE4_1 ? SRTP_CPU_SSE41 : 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        found |= b & bit_SHA ? SRTP_CPU_SHA : 0;
    }
    return found;
}
#else
static unsigned detect(void) { return 0; }
#endif

/* Threads that come here together find the same. */
unsigned srtp_cpu_features(void) {
    static _Atomic unsigned known;
    unsigned features = atomic_load_explicit(&known, memory_order_relaxed);

    if (!(features & DECIDED)) {
        features = detect() | DECIDED;
        atomic_store_explicit(&known, features, memory_order_relaxed);
    }
    return features;
}

const srtp_kernels *const srtp_all_kernels[] = {
#if defined(__x86_64__)
    &srtp_kernels_aesni,
#endif
    &srtp_kernels_generic,
    NULL,
};

const srtp_kernels *srtp_choose_kernels(const char *forced) {
    int any = forced == NULL || forced[0] == '\0';

    for (size_t i = 0; srtp_all_kernels[i] != NULL; i++) {
        const srtp_kernels *tier = srtp_all_kernels[i];

        if ((any || strcmp(forced, tier->name) == 0) && tier->available()) {
            return tier;
        }
    }
    return NULL;
}
