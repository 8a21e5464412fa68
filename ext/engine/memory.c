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
 * of the mapping is ever touched than was in flight at one time. */
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

/* What a slot holds beside the octets. */
typedef struct record {
    uint32_t len;
    uint32_t port;
    uint32_t generation; /* of the port when the datagram arrived */
    bool truncated;
    uint64_t received_ns;
    endpoint remote;
} record;

typedef struct ring {
    _Alignas(CACHE_LINE) atomic_uint head;
    /* The producer's own. */
    uint32_t reclaimed; /* released places whose slots are back on the stack */
    uint32_t taken_seen;
    uint32_t free_count;
    uint16_t free[SLOTS];
    uint32_t longest[SLOTS]; /* octets ever stored in the slot: what is to be wiped */
    /* The consumer's. */
    _Alignas(CACHE_LINE) atomic_uint taken;
    atomic_uint released;
    /* Written by the producer before it moves head, read by the consumer before it moves released. */
    _Alignas(CACHE_LINE) uint16_t queue[QUEUE_PLACES];
    record records[SLOTS];
    uint8_t *buffers;
} ring;

typedef struct memory_port {
    atomic_uint generation; /* odd: attached. Each attach and detach adds one, so frames of an earlier one are known */
    uint8_t family;
} memory_port;

struct engine {
    ring in;
    ring out;
    _Alignas(CACHE_LINE) atomic_bool waiting; /* receive() sleeps, or is about to */
    int arrival_fd;
    int wake_fd;
    uint32_t since_wake_check;
    uint32_t max_ports;
    memory_port *ports;
};

/* --- ring --- */

static bool ring_create(ring *self) {
    self->buffers = buffers_map(SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++)
        self->free[i] = (uint16_t)(SLOTS - 1 - i);
    self->free_count = SLOTS;
    return self->buffers != NULL;
}

static void ring_destroy(ring *self) {
    if (self->buffers == NULL)
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        if (self->longest[i] > 0)
            buffer_wipe(self->buffers, i, self->longest[i]);
    buffers_unmap(self->buffers, SLOTS);
}

/* Producer: stores a datagram in a slot that is not yet queued. NULL when the ring is full. */
static record *ring_store(ring *self, const uint8_t *octets, uint32_t len) {
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
    if (len > 0)
        memcpy(buffer_data(self->buffers, slot), octets, len);
    if (self->longest[slot] < len)
        self->longest[slot] = len;
    self->records[slot].len = len;
    return &self->records[slot];
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
    ring_destroy(&self->in);
    ring_destroy(&self->out);
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
    self->arrival_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->arrival_fd < 0)
        *error = errno;
    bool mapped = ring_create(&self->in) && ring_create(&self->out);
    if (self->ports == NULL || self->arrival_fd < 0 || !mapped) {
        memory_destroy(self);
        return NULL;
    }
    *error = 0;
    return self;
}

static bool is_attached(uint32_t generation) { return generation % 2 == 1; }

/* 0, an even generation, for a number that no port can have. */
static uint32_t generation_of(const engine *self, uint32_t port) {
    return port < self->max_ports ? atomic_load_explicit(&self->ports[port].generation, memory_order_acquire) : 0;
}

static int memory_attach(engine *self, uint32_t port, int handle) {
    if (port >= self->max_ports)
        return -EINVAL;
    if (is_attached(generation_of(self, port)))
        return -EEXIST;
    uint8_t family = family_of(handle);
    if (family == 0)
        return -EBADF;
    self->ports[port].family = family;
    atomic_fetch_add(&self->ports[port].generation, 1);
    return 0;
}

static int memory_detach(engine *self, uint32_t port) {
    if (!is_attached(generation_of(self, port)))
        return -ENOENT;
    atomic_fetch_add(&self->ports[port].generation, 1);
    return 0;
}

/* --- receive --- */

static void lend(engine *self, uint32_t slot, engine_frame *frame) {
    const record *from = &self->in.records[slot];
    frame->data = buffer_data(self->in.buffers, slot);
    frame->len = from->len;
    frame->capacity = BUFFER_CAPACITY;
    frame->port = from->port;
    frame->outcome = ENGINE_SENT;
    frame->truncated = from->truncated;
    frame->reserved = 0;
    frame->received_ns = from->received_ns;
    frame->remote = from->remote;
}

/* What came for a port since detached is passed over. */
static int take_frames(engine *self, engine_frame *frames, int most) {
    int count = 0;
    for (int slot; count < most && (slot = ring_peek(&self->in)) >= 0; ring_take(&self->in)) {
        const record *from = &self->in.records[slot];
        if (from->generation == generation_of(self, from->port))
            lend(self, (uint32_t)slot, &frames[count++]);
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

static uint8_t send_one(engine *self, const engine_frame *frame) {
    uint32_t generation = generation_of(self, frame->port);
    if (!is_attached(generation))
        return ENGINE_REFUSED;
    if (!can_reach(self->ports[frame->port].family, &frame->remote))
        return ENGINE_UNREACHABLE;
    if (frame->len > ENGINE_FRAME_MAX || frame->remote.port == 0)
        return ENGINE_REFUSED;
    record *to = ring_store(&self->out, frame->data, frame->len);
    if (to == NULL)
        return ENGINE_QUEUE_FULL;
    to->port = frame->port;
    to->generation = generation;
    to->truncated = false;
    to->received_ns = frame->received_ns;
    to->remote = frame->remote;
    ring_publish(&self->out, memory_order_release);
    return ENGINE_SENT;
}

static int memory_send(engine *self, engine_frame *const *frames, int count) {
    int sent = 0;
    for (int i = 0; i < count; i++) {
        frames[i]->outcome = send_one(self, frames[i]);
        sent += frames[i]->outcome == ENGINE_SENT;
    }
    return sent;
}

/* --- the far side --- */

int engine_memory_inject(engine *self, uint32_t port, const endpoint *source, uint64_t received_ns,
                         const uint8_t *octets, size_t len) {
    uint32_t generation = generation_of(self, port);
    if (!is_attached(generation))
        return -ENOENT;
    uint32_t kept = len > ENGINE_FRAME_MAX ? (uint32_t)ENGINE_FRAME_MAX : (uint32_t)len;
    record *to = ring_store(&self->in, octets, kept);
    if (to == NULL)
        return -ENOBUFS;
    to->port = port;
    to->generation = generation;
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
        memcpy(octets, buffer_data(self->out.buffers, (size_t)slot), from->len);
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
