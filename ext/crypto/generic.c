/* Tier `generic`: plain C in constant time, for every CPU and either byte order. */
#include "parts.h"

static const srtp_parts parts = {srtp_generic_ctr, srtp_generic_ghash, srtp_sha1_generic};

static int available(void) { return 1; }

static void set_auth_key(srtp_key *key, const uint8_t *octets, size_t auth_len) {
    srtp_set_auth_key_by(&parts, key, octets, auth_len);
}

static void keystream(const srtp_key *key, const uint8_t iv[SRTP_BLOCK], uint8_t *out, size_t len) {
    srtp_keystream_by(&parts, key, iv, out, len);
}

static void protect_cm(srtp_job *const *jobs, size_t count) { srtp_protect_cm_by(&parts, jobs, count); }

static void unprotect_cm(srtp_job *const *jobs, size_t count) { srtp_unprotect_cm_by(&parts, jobs, count); }

static void protect_gcm(srtp_job *const *jobs, size_t count) { srtp_protect_gcm_by(&parts, jobs, count); }

static void unprotect_gcm(srtp_job *const *jobs, size_t count) { srtp_unprotect_gcm_by(&parts, jobs, count); }

const srtp_kernels srtp_kernels_generic = {
    .name = "generic",
    .needs = "",
    .available = available,
    .set_cipher_key = srtp_generic_set_cipher_key,
    .set_auth_key = set_auth_key,
    .keystream = keystream,
    .protect_cm = protect_cm,
    .unprotect_cm = unprotect_cm,
    .protect_gcm = protect_gcm,
    .unprotect_gcm = unprotect_gcm,
};
