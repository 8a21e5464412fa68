/* Which tiers there are, and which the CPU can run. */
#include <stdatomic.h>
#include <string.h>

#include "parts.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { DECIDED = 1u << 30 };

#if defined(__x86_64__)
/* Registers whose contents the system saves: bits of XCR0. */
enum { SAVES_SSE = 0x02, SAVES_AVX = 0x06, SAVES_AVX512 = 0xe6 };

/* Without XGETBV the system saves the SSE registers by the x86-64 ABI, and no others. */
static uint32_t saved_registers(uint32_t leaf1_ecx) {
    uint32_t low, high;

    if (!(leaf1_ecx & bit_OSXSAVE)) {
        return SAVES_SSE;
    }
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* What works on the wider registers: AVX is told by leaf 1, the rest by leaf 7. */
static unsigned detect_wide(uint32_t saved, uint32_t leaf1_ecx, uint32_t leaf7_ebx, uint32_t leaf7_ecx) {
    const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL | bit_BMI2;
    unsigned found = 0;

    if ((saved & SAVES_AVX) != SAVES_AVX || !(leaf1_ecx & bit_AVX)) {
        return 0;
    }
    found |= leaf7_ebx & bit_AVX2 ? SRTP_CPU_AVX2 : 0;
    found |= leaf7_ecx & bit_VAES ? SRTP_CPU_VAES : 0;
    found |= leaf7_ecx & bit_VPCLMULQDQ ? SRTP_CPU_VPCLMULQDQ : 0;
    if ((saved & SAVES_AVX512) == SAVES_AVX512 && (leaf7_ebx & avx512) == avx512) {
        found |= SRTP_CPU_AVX512;
    }
    return found;
}

static unsigned detect(void) {
    uint32_t a, b, c, d, saved, leaf1_ecx;
    unsigned found = 0;

    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return 0;
    }
    saved = saved_registers(c);
    if (!(saved & SAVES_SSE)) {
        return 0;
    }
    leaf1_ecx = c;
    found |= c & bit_AES ? SRTP_CPU_AES : 0;
    found |= c & bit_PCLMUL ? SRTP_CPU_PCLMULQDQ : 0;
    found |= c & bit_SSSE3 ? SRTP_CPU_SSSE3 : 0;
    found |= c & bit_SSE4_1 ? SRTP_CPU_SSE41 : 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        found |= b & bit_SHA ? SRTP_CPU_SHA : 0;
        found |= detect_wide(saved, leaf1_ecx, b, c);
    }
    return found;
}
#else
static unsigned detect(void) { return 0; }
#endif

static _Atomic unsigned known;

/* Threads that come here together find the same. */
unsigned srtp_cpu_features(void) {
    unsigned features = atomic_load_explicit(&known, memory_order_relaxed);

    if (!(features & DECIDED)) {
        features = detect() | DECIDED;
        atomic_store_explicit(&known, features, memory_order_relaxed);
    }
    return features;
}

void srtp_hide_cpu_features(unsigned features) {
    atomic_store_explicit(&known, (detect() & ~features) | DECIDED, memory_order_relaxed);
}

/* Hides the features that a name such as ",no-sha,no-avx2" lists; 0 if it is not understood. */
static int hide_named(const char *text) {
    static const struct {
        const char *name;
        unsigned feature;
    } rows[] = {{",no-sha", SRTP_CPU_SHA}, {",no-avx2", SRTP_CPU_AVX2}};
    unsigned hidden = 0;

    while (*text != '\0') {
        size_t i = 0, count = sizeof rows / sizeof rows[0];

        while (i < count && strncmp(text, rows[i].name, strlen(rows[i].name)) != 0) {
            i++;
        }
        if (i == count) {
            return 0;
        }
        hidden |= rows[i].feature;
        text += strlen(rows[i].name);
    }
    if (hidden != 0) {
        srtp_hide_cpu_features(hidden);
    }
    return 1;
}

const srtp_kernels *const srtp_all_kernels[] = {
#if defined(__x86_64__)
    &srtp_kernels_vaes,
    &srtp_kernels_aesni,
#endif
    &srtp_kernels_generic,
    NULL,
};

const srtp_kernels *srtp_choose_kernels(const char *forced) {
    size_t len = forced == NULL ? 0 : strcspn(forced, ",");

    if (forced != NULL && !hide_named(forced + len)) {
        return NULL;
    }
    for (size_t i = 0; srtp_all_kernels[i] != NULL; i++) {
        const srtp_kernels *tier = srtp_all_kernels[i];
        int named = strlen(tier->name) == len && strncmp(forced, tier->name, len) == 0;

        if ((len == 0 || named) && tier->available()) {
            return tier;
        }
    }
    return NULL;
}
