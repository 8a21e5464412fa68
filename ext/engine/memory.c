/* Engine "memory": no system underneath. Datagrams are injected and collected by calls; for tests, fuzzing and the
 * ceiling figure. What a port accepts, lends and refuses is what a socket does, but frames come in the order injected.
 *
 *   inject() --> ring in --> receive() ... send() --> ring out --> collect()
 *
 * A ring has one producer and one consumer, which may be different threads, and no lock. Datagrams lie in slots; the
 * queue holds slot numbers in their order:
 *
 *        released        taken              head
 *           v              v                  v       counts, ever increasing; place in queue: count % QUEUE_PLACES
 *   [ free  |  lent frames |  waiting frames  |  free ]
 *
 * The consumer moves `taken` as it takes a frame and `released` when it needs it no more, the producer moves `head`.
 * Released slots go back on a stack of the producer's, so the slots in use are the ones last in the cache, and no more
 * of the mapping is ever touched than was in flight at one time.
 *
 * A slot has a buffer. send() copies nothing: the slot that a frame came by and the one that it leaves by exchange
 * their buffers, both being the worker's at that moment. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine.h"
#include "frames.h"

enum {
    RING_CAPACITY = 4096,                 /* frames waiting */
    SLOTS = RING_CAPACITY + ENGINE_BATCH, /* and those lent */
    QUEUE_PLACES = 8192,                  /* power of two above SLOTS */
    WAKE_CHECK = 16,                      /* receive() looks at the wake_fd at least once in so many calls */
    PORT_NUMBERS = 65536,
    FIRST_CHOSEN = 32768, /* bind() with port 0 chooses from here upwards */
};

typedef struct record {
    uint8_t *data;
    uint32_t longest; /* octets ever stored in the buffer: what is to be wiped */
    uint32_t len;
    uint32_t port;
    uint32_t attachment; /* of the port when the datagram arrived */
    uint64_t received_ns;
    endpoint remote;
    bool truncated;
} record;

typedef struct ring {
    _Alignas(CACHE_LINE) atomic_uint head;
    /* The producer's own. */
    uint32_t reclaimed; /* released places whose slots are back on the stack */
    uint32_t taken_seen;
    uint32_t free_count;
    uint16_t free[SLOTS];
    /* The consumer's. */
    _Alignas(CACHE_LINE) atomic_uint taken;
    atomic_uint released;
    /* Written by the producer before it moves head, read by the consumer before it moves released. */
    _Alignas(CACHE_LINE) uint16_t queue[QUEUE_PLACES];
    record records[SLOTS];
} ring;

/* What is known of a port, in one word: the family (4 or 6) in the lower bits, above them a count that each attach and
 * detach moves on, odd while attached. So frames of an earlier attachment are known by another word. */
typedef atomic_uint memory_port;
enum { FAMILY_BITS = 3, FAMILY_MASK = (1 << FAMILY_BITS) - 1, ATTACHED = 1 << FAMILY_BITS };

struct engine {
    ring in;
    ring out;
    _Alignas(CACHE_LINE) atomic_bool waiting; /* receive() sleeps, or is about to */
    int arrival_fd;
    int wake_fd;
    uint32_t since_wake_check;
    uint32_t max_ports;
    memory_port *ports;
    uint8_t *buffers; /* of both rings */
};

/* --- ring --- */

static void ring_create(ring *self, uint8_t *buffers, uint32_t first) {
    for (uint32_t i = 0; i < SLOTS; i++) {
        self->free[i] = (uint16_t)(SLOTS - 1 - i);
        self->records[i].data = buffer_data(buffers, first + i);
    }
    self->free_count = SLOTS;
}

static void ring_wipe(ring *self) {
    for (uint32_t i = 0; i < SLOTS; i++)
        if (self->records[i].longest > 0)
            datagram_wipe(self->records[i].data, self->records[i].longest);
}

/* Producer: a slot that is not yet queued, or NULL when the ring is full. */
static record *ring_slot(ring *self) {
    uint32_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
    uint32_t released = atomic_load_explicit(&self->released, memory_order_acquire);
    for (; self->reclaimed != released; self->reclaimed++)
        self->free[self->free_count++] = self->queue[self->reclaimed % QUEUE_PLACES];
    if (head - self->taken_seen >= RING_CAPACITY)
        self->taken_seen = atomic_load_explicit(&self->taken, memory_order_acquire);
    if (head - self->taken_seen >= RING_CAPACITY || self->free_count == 0)
        return NULL;
    uint16_t slot = self->free[--self->free_count];
    self->queue[head % QUEUE_PLACES] = slot;
    return &self->records[slot];
}

/* Producer: the slot's datagram. */
static void record_store(record *self, const uint8_t *octets, uint32_t len) {
    if (len > 0)
        memcpy(self->data, octets, len);
    if (self->longest < len)
        self->longest = len;
    self->len = len;
}

/* Producer: queues what was stored last. Sequentially consistent order is for a consumer that may sleep. */
static inline void ring_publish(ring *self, memory_order order) {
    uint32_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
    atomic_store_explicit(&self->head, head + 1, order);
}

static bool ring_empty(ring *self) {
    return atomic_load(&self->head) == atomic_load_explicit(&self->taken, memory_order_relaxed);
}

/* Consumer: the next slot that waits, or -1. It stays where it is. */
static int ring_peek(ring *self) {
    uint32_t taken = atomic_load_explicit(&self->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&self->head, memory_order_acquire))
        return -1;
    return self->queue[taken % QUEUE_PLACES];
}

static void ring_take(ring *self) {
    uint32_t taken = atomic_load_explicit(&self->taken, memory_order_relaxed);
    atomic_store_explicit(&self->taken, taken + 1, memory_order_release);
}

/* Consumer: everything taken is the producer's again. */
static void ring_release(ring *self) {
    uint32_t taken = atomic_load_explicit(&self->taken, memory_order_relaxed);
    atomic_store_explicit(&self->released, taken, memory_order_release);
}

/* --- local port numbers: one table for the process, family by number, 0 where free --- */

static _Atomic uint8_t bound[PORT_NUMBERS];
static atomic_uint next_chosen;

static bool claim(uint32_t number, uint8_t family) {
    uint8_t unused = 0;
    return atomic_compare_exchange_strong(&bound[number], &unused, family);
}

static int memory_bind(endpoint *local, const engine_port_options *options) {
    if (local->family != 4 && local->family != 6)
        return -EAFNOSUPPORT;
    if (options->dscp > DSCP_MAX)
        return -EINVAL;
    if (local->port != 0)
        return claim(local->port, local->family) ? local->port : -EADDRINUSE;
    for (uint32_t tries = 0; tries < PORT_NUMBERS - FIRST_CHOSEN; tries++) {
        uint32_t number = FIRST_CHOSEN + atomic_fetch_add(&next_chosen, 1) % (PORT_NUMBERS - FIRST_CHOSEN);
        if (claim(number, local->family)) {
            local->port = (uint16_t)number;
            return (int)number;
        }
    }
    return -EADDRINUSE;
}

/* The family, or 0 where nothing is bound. */
static uint8_t family_of(int handle) { return handle > 0 && handle < PORT_NUMBERS ? atomic_load(&bound[handle]) : 0; }

static int memory_set_options(int handle, const engine_port_options *options) {
    if (family_of(handle) == 0)
        return -EBADF;
    return options->dscp > DSCP_MAX ? -EINVAL : 0;
}

static void memory_release(int handle) {
    if (handle > 0 && handle < PORT_NUMBERS)
        atomic_store(&bound[handle], 0);
}

/* --- create and destroy --- */

static void memory_destroy(engine *self) {
    if (self == NULL)
        return;
    if (self->arrival_fd >= 0)
        close(self->arrival_fd);
    if (self->buffers != NULL) {
        ring_wipe(&self->in);
        ring_wipe(&self->out);
        buffers_unmap(self->buffers, 2 * SLOTS);
    }
    free(self->ports);
    free(self);
}

static engine *memory_create(int wake_fd, uint32_t max_ports, int *error) {
    *error = max_ports == 0 ? EINVAL : ENOMEM;
    engine *self = max_ports == 0 ? NULL : aligned_alloc(CACHE_LINE, sizeof *self);
    if (self == NULL)
        return NULL;
    memset(self, 0, sizeof *self);
    self->wake_fd = wake_fd;
    self->max_ports = max_ports;
    self->ports = calloc(max_ports, sizeof *self->ports);
    self->buffers = buffers_map(2 * SLOTS);
    self->arrival_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->arrival_fd < 0)
        *error = errno;
    if (self->ports == NULL || self->arrival_fd < 0 || self->buffers == NULL) {
        memory_destroy(self);
        return NULL;
    }
    ring_create(&self->in, self->buffers, 0);
    ring_create(&self->out, self->buffers, SLOTS);
    *error = 0;
    return self;
}

static bool is_attached(uint32_t attachment) { return attachment & ATTACHED; }

/* 0, not attached, for a number that no port can have. */
static uint32_t attachment_of(const engine *self, uint32_t port) {
    return port < self->max_ports ? atomic_load_explicit(&self->ports[port], memory_order_acquire) : 0;
}

static int memory_attach(engine *self, uint32_t port, int handle) {
    if (port >= self->max_ports)
        return -EINVAL;
    uint32_t before = attachment_of(self, port);
    if (is_attached(before))
        return -EEXIST;
    uint8_t family = family_of(handle);
    if (family == 0)
        return -EBADF;
    atomic_store(&self->ports[port], ((before & ~(uint32_t)FAMILY_MASK) + ATTACHED) | family);
    return 0;
}

static int memory_detach(engine *self, uint32_t port) {
    if (!is_attached(attachment_of(self, port)))
        return -ENOENT;
    atomic_fetch_add(&self->ports[port], ATTACHED);
    return 0;
}

/* --- receive --- */

static void lend(const record *from, uint16_t slot, engine_frame *frame) {
    frame->data = from->data;
    frame->len = from->len;
    frame->capacity = BUFFER_CAPACITY;
    frame->port = from->port;
    frame->outcome = ENGINE_SENT;
    frame->truncated = from->truncated;
    frame->reserved = slot; /* for send() */
    frame->received_ns = from->received_ns;
    frame->remote = from->remote;
}

/* The ports of the frames that take_frames() is about to look at. */
static void prefetch_ports(const engine *self, uint32_t most) {
    uint32_t taken = atomic_load_explicit(&self->in.taken, memory_order_relaxed);
    uint32_t waiting = atomic_load_explicit(&self->in.head, memory_order_acquire) - taken;
    for (uint32_t i = 0; i < waiting && i < most; i++)
        __builtin_prefetch(&self->ports[self->in.records[self->in.queue[(taken + i) % QUEUE_PLACES]].port]);
}

/* What came for a port since detached is passed over. */
static int take_frames(engine *self, engine_frame *frames, int most) {
    int count = 0;
    prefetch_ports(self, (uint32_t)most);
    for (int slot; count < most && (slot = ring_peek(&self->in)) >= 0; ring_take(&self->in)) {
        const record *from = &self->in.records[slot];
        if (from->attachment == attachment_of(self, from->port))
            lend(from, (uint16_t)slot, &frames[count++]);
    }
    return count;
}

/* Until a frame is injected, the wake_fd is readable, or the time is over. Here `waiting` is set before the ring is
 * looked at; inject() moves the ring before it looks at `waiting`: one of the two sees the other. */
static int wait_arrival(engine *self, int timeout_ms, int *woken) {
    struct pollfd watched[2] = {{.fd = self->wake_fd, .events = POLLIN}, {.fd = self->arrival_fd, .events = POLLIN}};
    uint64_t value;
    if (timeout_ms != 0) {
        atomic_store(&self->waiting, true);
        if (!ring_empty(&self->in))
            timeout_ms = 0;
    }
    int ready = poll(watched, timeout_ms != 0 ? 2 : 1, timeout_ms);
    int error = ready < 0 && errno != EINTR ? -errno : 0; /* a signal ends the wait early */
    atomic_store_explicit(&self->waiting, false, memory_order_relaxed);
    if (ready > 0 && watched[1].revents != 0)
        (void)!read(self->arrival_fd, &value, sizeof value);
    if (ready > 0 && watched[0].revents != 0 && read(self->wake_fd, &value, sizeof value) == (ssize_t)sizeof value)
        *woken = ENGINE_WOKEN;
    return error;
}

/* A full batch is given without a system call, but for one look at the wake_fd in WAKE_CHECK calls. */
static int memory_receive(engine *self, engine_frame *frames, int most, int timeout_ms, int *woken) {
    *woken = 0;
    if (most < 1)
        return -EINVAL;
    if (most > ENGINE_BATCH)
        most = ENGINE_BATCH;
    ring_release(&self->in);
    int count = take_frames(self, frames, most);
    if (count == most && ++self->since_wake_check < WAKE_CHECK)
        return count;
    self->since_wake_check = 0;
    int patience = count > 0 ? 0 : timeout_ms;
    if (patience == 0 && self->wake_fd < 0)
        return count;
    int error = wait_arrival(self, patience, woken);
    if (count == 0 && error == 0)
        count = take_frames(self, frames, most);
    return count > 0 ? count : error;
}

/* --- send --- */

/* The buffer of a frame as it was lent goes over to `to`; any other's octets are copied. */
static void hand_over(record *from, record *to, const engine_frame *frame) {
    if (from->data != frame->data) {
        record_store(to, frame->data, frame->len);
        return;
    }
    uint32_t longest = from->longest > frame->len ? from->longest : frame->len;
    from->data = to->data;
    from->longest = to->longest;
    to->data = frame->data;
    to->longest = longest;
    to->len = frame->len;
}

static uint8_t send_one(engine *self, const engine_frame *frame) {
    uint32_t attachment = attachment_of(self, frame->port);
    if (!is_attached(attachment))
        return ENGINE_REFUSED;
    if (!can_reach(attachment & FAMILY_MASK, &frame->remote))
        return ENGINE_UNREACHABLE;
    if (frame->len > ENGINE_FRAME_MAX || frame->remote.port == 0)
        return ENGINE_REFUSED;
    record *to = ring_slot(&self->out);
    if (to == NULL)
        return ENGINE_QUEUE_FULL;
    hand_over(&self->in.records[frame->reserved % SLOTS], to, frame);
    to->port = frame->port;
    to->attachment = attachment;
    to->truncated = false;
    to->received_ns = frame->received_ns;
    to->remote = frame->remote;
    ring_publish(&self->out, memory_order_release);
    return ENGINE_SENT;
}

static int memory_send(engine *self, engine_frame *const *frames, int count) {
    int sent = 0;
    for (int i = 0; i < count; i++)
        if (frames[i]->port < self->max_ports)
            __builtin_prefetch(&self->ports[frames[i]->port]);
    for (int i = 0; i < count; i++) {
        frames[i]->outcome = send_one(self, frames[i]);
        sent += frames[i]->outcome == ENGINE_SENT;
    }
    return sent;
}

/* --- the far side --- */

int engine_memory_inject(engine *self, uint32_t port, const endpoint *source, uint64_t received_ns,
                         const uint8_t *octets, size_t len) {
    uint32_t attachment = attachment_of(self, port);
    if (!is_attached(attachment))
        return -ENOENT;
    uint32_t kept = len > ENGINE_FRAME_MAX ? (uint32_t)ENGINE_FRAME_MAX : (uint32_t)len;
    record *to = ring_slot(&self->in);
    if (to == NULL)
        return -ENOBUFS;
    record_store(to, octets, kept);
    to->port = port;
    to->attachment = attachment;
    to->truncated = kept < len;
    to->received_ns = received_ns;
    to->remote = *source;
    ring_publish(&self->in, memory_order_seq_cst);
    uint64_t one = 1;
    if (atomic_load(&self->waiting) && atomic_exchange(&self->waiting, false))
        (void)!write(self->arrival_fd, &one, sizeof one);
    return 0;
}

int engine_memory_collect(engine *self, engine_frame *meta, uint8_t *octets, size_t room) {
    int slot = ring_peek(&self->out);
    if (slot < 0)
        return -EAGAIN;
    const record *from = &self->out.records[slot];
    if (octets != NULL && from->len > room)
        return -EMSGSIZE;
    *meta = (engine_frame){
        .data = octets,
        .len = from->len,
        .capacity = octets != NULL ? (uint32_t)room : 0,
        .port = from->port,
        .outcome = ENGINE_SENT,
        .received_ns = from->received_ns,
        .remote = from->remote,
    };
    if (octets != NULL && from->len > 0)
        memcpy(octets, from->data, from->len);
    ring_take(&self->out);
    ring_release(&self->out);
    return (int)meta->len;
}

const engine_ops engine_memory = {
    .name = "memory",
    .capabilities = 0,
    .create = memory_create,
    .destroy = memory_destroy,
    .bind = memory_bind,
    .set_options = memory_set_options,
    .release = memory_release,
    .attach = memory_attach,
    .detach = memory_detach,
    .receive = memory_receive,
    .send = memory_send,
};
