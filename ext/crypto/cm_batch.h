/* A batch of AES-CM packets through a tier that hashes several at a time (cm_batch.c). Internal to ext/crypto. */
#ifndef SRTPGW_CM_BATCH_H
#define SRTPGW_CM_BATCH_H

#include "parts.h"

enum { SRTP_HMAC_WAYS = 4, SRTP_MOST_LANES = 16 };

/* A way to hash up to `lanes` packets at once. run gives the HMAC of count packets, none of them longer than the first;
 * macs has room for all lanes. cost is the time that one block of all of them takes, in tenths of what the
 * first way takes for one. */
typedef struct srtp_hmac_way {
    void (*run)(srtp_job *const *jobs, size_t count, srtp_mac *macs);
    uint8_t lanes;
    uint8_t cost;
} srtp_hmac_way;

typedef struct srtp_cm_form {
    void (*crypt)(srtp_job *const *jobs, size_t count); /* data[clear_len .. clear_len + cipher_len) of each */
    srtp_hmac_way ways[SRTP_HMAC_WAYS];                 /* the first has one lane; unused ones are NULL */
} srtp_cm_form;

void srtp_protect_cm_batch(const srtp_cm_form *form, srtp_job *const *jobs, size_t count);
void srtp_unprotect_cm_batch(const srtp_cm_form *form, srtp_job *const *jobs, size_t count);

#endif
