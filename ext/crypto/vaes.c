/* Tier `vaes`: AES and GHASH on 512-bit registers, SHA-1 of sixteen packets side by side. */
#include "parts.h"

#if defined(__x86_64__)

static int available(void) {
    unsigned needed = SRTP_CPU_AVX2 | SRTP_CPU_AVX512 | SRTP_CPU_VAES | SRTP_CPU_VPCLMULQDQ;

    return srtp_kernels_aesni.available() && (srtp_cpu_features() & needed) == needed;
}

const srtp_kernels srtp_kernels_vaes = {
    .name = "vaes",
    .needs = "AVX-512 (F, BW, DQ, VL), VAES, VPCLMULQDQ and all of aesni",
    .available = available,
    .set_cipher_key = srtp_aesni_set_cipher_key,
    .set_auth_key = srtp_aesni_set_auth_key,
    .keystream = srtp_aesni_keystream,
    .protect_cm = srtp_aesni_protect_cm,
    .unprotect_cm = srtp_aesni_unprotect_cm,
    .protect_gcm = srtp_aesni_protect_gcm,
    .unprotect_gcm = srtp_aesni_unprotect_gcm,
};

#endif
