/* Intel ipsec-mb behind the signature of our kernels (ext/crypto/crypto.h), so that one loop times both. Compiled by
 * ipsec_mb.py at run time into a temporary directory; no part of the package.
 *
 * ipsec-mb does a packet's work by a job of its own form, which every user fills packet by packet. A *_fill function
 * does that alone: its time is taken off, to compare the ciphers and not the forms. What is left is the most that can
 * be said for it. Checks of the jobs are switched off (NOCHECK), and each batch is flushed: its packets are to leave.
 */
#include <intel-ipsec-mb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/crypto.h"

enum {
    BATCH = 64,
    HMAC_TAG = 12 /* RFC 2404: the shortest that it writes; two octets more than ours, in the tail room */
};

/* Stands where our key is in a job. */
typedef struct mb_key {
    uint32_t encrypt[4 * 15] __attribute__((aligned(64)));
    uint32_t decrypt[4 * 15] __attribute__((aligned(16)));
    uint8_t inner[SRTP_HMAC_SHA1_LEN] __attribute__((aligned(16)));
    uint8_t outer[SRTP_HMAC_SHA1_LEN] __attribute__((aligned(16)));
    uint64_t length;
    struct gcm_key_data gcm[]; /* one, where the cipher is GCM */
} mb_key;

static IMB_MGR *best, *sse; /* for this CPU; of SSE with SHA-NI, which is faster where few packets meet */

const char *mb_version(void) { return imb_get_version_str(); }

int mb_open(void) {
    best = alloc_mb_mgr(0);
    sse = alloc_mb_mgr(0);
    if (best == NULL || sse == NULL)
        return -1;
    init_mb_mgr_auto(best, NULL);
    init_mb_mgr_sse(sse);
    return imb_get_errno(best) != 0 || imb_get_errno(sse) != 0 ? -1 : 0;
}

static void hmac_half(const uint8_t *key, size_t length, uint8_t pad, uint8_t out[SRTP_HMAC_SHA1_LEN]) {
    uint8_t block[IMB_SHA1_BLOCK_SIZE];
    memset(block, pad, sizeof block);
    for (size_t i = 0; i < length; i++)
        block[i] ^= key[i];
    IMB_SHA1_ONE_BLOCK(best, block, out);
}

/* A session key, NULL without memory. auth_length is 0 for GCM. */
mb_key *mb_key_new(const uint8_t *cipher, size_t length, const uint8_t *auth, size_t auth_length) {
    size_t size = sizeof(mb_key) + (auth_length ? 0 : sizeof(struct gcm_key_data));
    mb_key *key = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (key == NULL)
        return NULL;
    key->length = length;
    if (auth_length) {
        if (length == 16)
            IMB_AES_KEYEXP_128(best, cipher, key->encrypt, key->decrypt);
        else
            IMB_AES_KEYEXP_256(best, cipher, key->encrypt, key->decrypt);
        hmac_half(auth, auth_length, 0x36, key->inner);
        hmac_half(auth, auth_length, 0x5c, key->outer);
    } else if (length == 16)
        IMB_AES128_GCM_PRE(best, cipher, key->gcm);
    else
        IMB_AES256_GCM_PRE(best, cipher, key->gcm);
    return key;
}

void mb_key_free(mb_key *key) { free(key); }

static inline void fill_cm(IMB_JOB *to, srtp_job *from) {
    const mb_key *key = (const mb_key *)(const void *)from->key;
    memcpy(from->data + from->auth_len, from->trailer, 4); /* the ROC is hashed where the tag will be */
    to->enc_keys = to->dec_keys = key->encrypt;
    to->key_len_in_bytes = key->length;
    to->src = from->data;
    to->dst = from->data + from->clear_len;
    to->cipher_start_src_offset_in_bytes = from->clear_len;
    to->msg_len_to_cipher_in_bytes = from->cipher_len;
    to->hash_start_src_offset_in_bytes = 0;
    to->msg_len_to_hash_in_bytes = from->auth_len + 4;
    to->iv = from->iv;
    to->iv_len_in_bytes = 16;
    to->auth_tag_output = from->tag;
    to->auth_tag_output_len_in_bytes = HMAC_TAG;
    to->u.HMAC._hashed_auth_key_xor_ipad = key->inner;
    to->u.HMAC._hashed_auth_key_xor_opad = key->outer;
    to->cipher_mode = IMB_CIPHER_CNTR;
    to->cipher_direction = IMB_DIR_ENCRYPT;
    to->hash_alg = IMB_AUTH_HMAC_SHA_1;
    to->chain_order = IMB_ORDER_CIPHER_HASH;
}

static inline void fill_gcm(IMB_JOB *to, srtp_job *from) {
    const mb_key *key = (const mb_key *)(const void *)from->key;
    to->enc_keys = to->dec_keys = key->gcm;
    to->key_len_in_bytes = key->length;
    to->src = from->data;
    to->dst = from->data + from->clear_len;
    to->cipher_start_src_offset_in_bytes = from->clear_len;
    to->msg_len_to_cipher_in_bytes = from->cipher_len;
    to->hash_start_src_offset_in_bytes = from->clear_len;
    to->msg_len_to_hash_in_bytes = from->cipher_len;
    to->iv = from->iv;
    to->iv_len_in_bytes = 12;
    to->auth_tag_output = from->tag;
    to->auth_tag_output_len_in_bytes = SRTP_GCM_TAG_LEN;
    to->u.GCM.aad = from->data;
    to->u.GCM.aad_len_in_bytes = from->auth_len;
    to->cipher_mode = IMB_CIPHER_GCM;
    to->cipher_direction = IMB_DIR_ENCRYPT;
    to->hash_alg = IMB_AUTH_AES_GMAC;
    to->chain_order = IMB_ORDER_CIPHER_HASH;
}

typedef void (*fill_job)(IMB_JOB *to, srtp_job *from);

static void refuse(srtp_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++)
        jobs[i]->good = 0;
}

/* One job after the other; those that wait for company are flushed at the end. */
static inline void by_job(IMB_MGR *manager, srtp_job *const *jobs, size_t count, fill_job fill) {
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        fill(IMB_GET_NEXT_JOB(manager), jobs[i]);
        done += IMB_SUBMIT_JOB_NOCHECK(manager) != NULL;
    }
    while (done < count && IMB_FLUSH_JOB(manager) != NULL)
        done++;
    if (done != count)
        refuse(jobs, count);
}

/* All at once. */
static inline void by_burst(IMB_MGR *manager, srtp_job *const *jobs, size_t count, fill_job fill) {
    IMB_JOB *burst[BATCH];
    uint32_t done = 0, more = 1;
    if (IMB_GET_NEXT_BURST(manager, (uint32_t)count, burst) == count) {
        for (size_t i = 0; i < count; i++)
            fill(burst[i], jobs[i]);
        done = IMB_SUBMIT_BURST_NOCHECK(manager, (uint32_t)count, burst);
        for (; done < count && more > 0; done += more)
            more = IMB_FLUSH_BURST(manager, (uint32_t)count - done, burst);
    }
    if (done != count)
        refuse(jobs, count);
}

/* All at once, first the cipher, then the hash. */
static inline void by_halves(IMB_MGR *manager, srtp_job *const *jobs, size_t count) {
    static IMB_JOB burst[BATCH];
    uint32_t n = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        fill_cm(&burst[i], jobs[i]);
    IMB_KEY_SIZE_BYTES size = burst[0].key_len_in_bytes == 16 ? IMB_KEY_128_BYTES : IMB_KEY_256_BYTES;
    if (IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager, burst, n, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT, size) != n ||
        IMB_SUBMIT_HASH_BURST_NOCHECK(manager, burst, n, IMB_AUTH_HMAC_SHA_1) != n)
        refuse(jobs, count);
}

static inline void fill_only(srtp_job *const *jobs, size_t count, fill_job fill) {
    static IMB_JOB burst[BATCH];
    for (size_t i = 0; i < count; i++) {
        fill(&burst[i], jobs[i]);
        __asm__ __volatile__("" : : "r"(burst) : "memory");
    }
}

void mb_cm_job(srtp_job *const *jobs, size_t count) { by_job(best, jobs, count, fill_cm); }
void mb_cm_burst(srtp_job *const *jobs, size_t count) { by_burst(best, jobs, count, fill_cm); }
void mb_cm_halves(srtp_job *const *jobs, size_t count) { by_halves(best, jobs, count); }
void mb_cm_job_sse(srtp_job *const *jobs, size_t count) { by_job(sse, jobs, count, fill_cm); }
void mb_cm_burst_sse(srtp_job *const *jobs, size_t count) { by_burst(sse, jobs, count, fill_cm); }
void mb_cm_fill(srtp_job *const *jobs, size_t count) { fill_only(jobs, count, fill_cm); }
void mb_gcm_job(srtp_job *const *jobs, size_t count) { by_job(best, jobs, count, fill_gcm); }
void mb_gcm_burst(srtp_job *const *jobs, size_t count) { by_burst(best, jobs, count, fill_gcm); }
void mb_gcm_fill(srtp_job *const *jobs, size_t count) { fill_only(jobs, count, fill_gcm); }

/* The function without a job, which needs none filled. */
void mb_gcm_direct(srtp_job *const *jobs, size_t count) {
    struct gcm_context_data context;
    for (size_t i = 0; i < count; i++) {
        const srtp_job *job = jobs[i];
        const mb_key *key = (const mb_key *)(const void *)job->key;
        uint8_t *from = job->data + job->clear_len;
        if (key->length == 16)
            IMB_AES128_GCM_ENC(best, key->gcm, &context, from, from, job->cipher_len, job->iv, job->data, job->auth_len,
                               job->tag, SRTP_GCM_TAG_LEN);
        else
            IMB_AES256_GCM_ENC(best, key->gcm, &context, from, from, job->cipher_len, job->iv, job->data, job->auth_len,
                               job->tag, SRTP_GCM_TAG_LEN);
    }
}
