/* AES-CM packets in batches: sorted by how many blocks their hash has, then taken by as many at a time as pays. Nothing
 * but lengths decides which packets go together. */
#include "cm_batch.h"

#include "hmac.h"

enum {
    BATCH = 64,
    BINS = 32, /* packets of up to 31 blocks, 1,971 octets, are sorted by counting */
    FEW = 12, /* so many are sorted by insertion */
};

/* Packets with the most blocks first. work[i] is the number of blocks of all before packet i, outer hashes included. */
typedef struct batch {
    srtp_job *jobs[BATCH];
    uint32_t work[BATCH + 1];
    size_t count;
} batch;

static void sort_by_insertion(srtp_job **jobs, size_t count) {
    for (size_t i = 1; i < count; i++) {
        srtp_job *job = jobs[i];
        size_t at = i;

        for (; at > 0 && srtp_inner_blocks(jobs[at - 1]) < srtp_inner_blocks(job); at--) {
            jobs[at] = jobs[at - 1];
        }
        jobs[at] = job;
    }
}

static inline size_t bin_of(const srtp_job *job) {
    uint32_t blocks = srtp_inner_blocks(job);

    return BINS - (blocks < BINS ? blocks : BINS);
}

static void sort_by_counting(srtp_job **jobs, size_t count) {
    srtp_job *unsorted[BATCH];
    size_t place[BINS + 1] = {0};

    for (size_t i = 0; i < count; i++) {
        unsorted[i] = jobs[i];
        place[bin_of(jobs[i]) + 1]++;
    }
    for (size_t i = 1; i < BINS; i++) {
        place[i] += place[i - 1];
    }
    for (size_t i = 0; i < count; i++) {
        jobs[place[bin_of(unsorted[i])]++] = unsorted[i];
    }
    sort_by_insertion(jobs, place[0]); /* the first bin, which holds all that are longer than the last */
}

static int is_sorted(srtp_job *const *jobs, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (srtp_inner_blocks(jobs[i - 1]) < srtp_inner_blocks(jobs[i])) {
            return 0;
        }
    }
    return 1;
}

static void sum_up(batch *b) {
    if (b->count <= FEW) {
        sort_by_insertion(b->jobs, b->count);
    } else if (!is_sorted(b->jobs, b->count)) {
        sort_by_counting(b->jobs, b->count);
    }
    b->work[0] = 0;
    for (size_t i = 0; i < b->count; i++) {
        b->work[i + 1] = b->work[i] + srtp_inner_blocks(b->jobs[i]) + 1;
    }
}

/* How many packets of the batch come next, and the way that costs least for each of their blocks: lanes that end early
 * or stay empty cost as much as full ones. */
static size_t next_way(const srtp_cm_form *form, const batch *b, size_t at, const srtp_hmac_way **way) {
    size_t taken = 0;
    uint64_t cost = 0, work = 0;

    for (size_t i = 0; i < SRTP_HMAC_WAYS && form->ways[i].run != NULL; i++) {
        size_t rest = b->count - at;
        size_t some = form->ways[i].lanes < rest ? form->ways[i].lanes : rest;
        uint64_t some_cost = (uint64_t)form->ways[i].cost * (b->work[at + 1] - b->work[at]);
        uint64_t some_work = b->work[at + some] - b->work[at];

        if (taken == 0 || some_cost * work < cost * some_work) {
            *way = &form->ways[i];
            taken = some;
            cost = some_cost;
            work = some_work;
        }
    }
    return taken;
}

/* Takes up to BATCH packets off the front. Those without a tag need no hash: they are kept apart, behind the others. */
static size_t take(batch *b, srtp_job *const *jobs, size_t count, size_t *untagged) {
    size_t some = count < BATCH ? count : BATCH;

    b->count = 0;
    *untagged = 0;
    for (size_t i = 0; i < some; i++) {
        if (jobs[i]->tag_len > 0) {
            b->jobs[b->count++] = jobs[i];
        } else {
            b->jobs[BATCH - ++*untagged] = jobs[i];
        }
    }
    sum_up(b);
    return some;
}

static inline void store_tag(const srtp_job *job, const srtp_mac *mac) {
    if (job->tag_len == 10) { /* by far the most; a length known beforehand is copied faster */
        memcpy(job->tag, mac->octets, 10);
    } else {
        memcpy(job->tag, mac->octets, job->tag_len);
    }
}

void srtp_protect_cm_batch(const srtp_cm_form *form, srtp_job *const *jobs, size_t count) {
    srtp_mac macs[SRTP_MOST_LANES];
    const srtp_hmac_way *way = NULL;
    size_t some, untagged, taken;
    batch b;

    for (; count > 0; jobs += some, count -= some) {
        some = take(&b, jobs, count, &untagged);
        form->crypt(b.jobs + BATCH - untagged, untagged);
        for (size_t at = 0; at < b.count; at += taken) {
            taken = next_way(form, &b, at, &way);
            form->crypt(b.jobs + at, taken);
            way->run(b.jobs + at, taken, macs);
            for (size_t i = 0; i < taken; i++) {
                store_tag(b.jobs[at + i], &macs[i]);
            }
        }
    }
}

/* Decrypts those whose tag was right, unless they are to be verified only. */
static void crypt_good(const srtp_cm_form *form, srtp_job *const *jobs, size_t count) {
    srtp_job *good[BATCH];
    size_t good_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->good && !jobs[i]->verify_only) {
            good[good_count++] = jobs[i];
        }
    }
    form->crypt(good, good_count);
}

/* The right tag of a forged packet is a secret: whoever learnt it could send the packet again with it. */
void srtp_unprotect_cm_batch(const srtp_cm_form *form, srtp_job *const *jobs, size_t count) {
    srtp_mac macs[SRTP_MOST_LANES];
    const srtp_hmac_way *way = NULL;
    size_t some, untagged, taken;
    batch b;

    for (; count > 0; jobs += some, count -= some) {
        some = take(&b, jobs, count, &untagged);
        for (size_t i = 0; i < untagged; i++) {
            b.jobs[BATCH - 1 - i]->good = 1;
        }
        crypt_good(form, b.jobs + BATCH - untagged, untagged);
        for (size_t at = 0; at < b.count; at += taken) {
            taken = next_way(form, &b, at, &way);
            way->run(b.jobs + at, taken, macs);
            for (size_t i = 0; i < taken; i++) {
                srtp_job *job = b.jobs[at + i];

                job->good = (uint8_t)srtp_equal(macs[i].octets, job->tag, job->tag_len);
            }
            crypt_good(form, b.jobs + at, taken);
        }
    }
    srtp_wipe(macs, sizeof macs);
}
