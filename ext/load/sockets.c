/* Sockets of the load generator and its sink: batches out, batches in, clocks.
 *
 * One thread sends and one receives; they may be the same. Both use the sockets, and their own half of load_io. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum {
    READY_MAX = 64,
    OFFSET_TRIES = 5,
};

#define NS_PER_S 1000000000ull

typedef struct stamp_control {
    _Alignas(struct cmsghdr) uint8_t octets[CMSG_SPACE(sizeof(struct timespec))];
} stamp_control;

struct load_io {
    int epoll_fd;
    uint32_t count;
    uint32_t capacity;
    int *fds;
    uint8_t *buffers;
    /* the sender's */
    struct mmsghdr out[LOAD_SEND_BATCH];
    struct iovec out_data[LOAD_SEND_BATCH];
    /* the receiver's */
    int ready_next; /* the ready list is ready[ready_next] to ready[ready_count - 1]: socket numbers */
    int ready_count;
    uint32_t ready[READY_MAX];
    struct epoll_event events[READY_MAX];
    load_arrival arrivals[LOAD_ARRIVALS];
    struct mmsghdr in[LOAD_ARRIVALS];
    struct iovec in_data[LOAD_ARRIVALS];
    stamp_control in_control[LOAD_ARRIVALS];
};

#define LOAD_NAME(id, name, help) {name, help},
const load_name load_counter_names[] = {LOAD_COUNTERS(LOAD_NAME)};
#undef LOAD_NAME

/* --- opening and closing */

static void prepare_receive(load_io *io) {
    for (int i = 0; i < LOAD_ARRIVALS; i++) {
        struct msghdr *header = &io->in[i].msg_hdr;
        io->arrivals[i].data = io->buffers + (size_t)i * LOAD_SLOT;
        io->in_data[i].iov_base = io->arrivals[i].data;
        io->in_data[i].iov_len = LOAD_DATAGRAM_MAX;
        header->msg_iov = &io->in_data[i];
        header->msg_iovlen = 1;
        header->msg_name = &io->arrivals[i].source.any;
        header->msg_control = &io->in_control[i];
    }
}

load_io *load_io_create(void) {
    load_io *io = calloc(1, sizeof *io);
    if (io == NULL)
        return NULL;
    io->buffers = aligned_alloc(64, (size_t)LOAD_ARRIVALS * LOAD_SLOT);
    io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (io->buffers == NULL || io->epoll_fd < 0) {
        load_io_destroy(io);
        return NULL;
    }
    memset(io->buffers, 0, (size_t)LOAD_ARRIVALS * LOAD_SLOT);
    prepare_receive(io);
    return io;
}

void load_io_destroy(load_io *io) {
    if (io == NULL)
        return;
    for (uint32_t i = 0; i < io->count; i++)
        close(io->fds[i]);
    if (io->epoll_fd >= 0)
        close(io->epoll_fd);
    free(io->fds);
    free(io->buffers);
    free(io);
}

/* Beyond the system's limit where the process may go there, up to it where not. */
static void set_buffer(int fd, int force, int option, int size) {
    if (size > 0 && setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) != 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
}

static int make_room(load_io *io) {
    if (io->count < io->capacity)
        return 0;
    uint32_t capacity = io->capacity ? io->capacity * 2 : 16;
    int *fds = realloc(io->fds, capacity * sizeof *fds);
    if (fds == NULL)
        return -ENOMEM;
    io->fds = fds;
    io->capacity = capacity;
    return 0;
}

int load_io_add(load_io *io, int fd, int receive_buffer, int send_buffer) {
    if (io->count >= LOAD_SOCKETS_MAX)
        return -EMFILE;
    int error = make_room(io);
    if (error != 0)
        return error;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = io->count};
    if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, fd, &event))
        return -errno;
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_buffer);
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, send_buffer);
    io->fds[io->count] = fd;
    return (int)io->count++;
}

uint32_t load_io_count(const load_io *io) { return io->count; }

int load_io_numbers(const load_io *io, uint32_t socket, uint32_t *dropped, uint32_t *receive_buffer,
                    uint32_t *send_buffer) {
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof memory;
    if (getsockopt(io->fds[socket], SOL_SOCKET, SO_MEMINFO, memory, &length))
        return -errno;
    *dropped = memory[SK_MEMINFO_DROPS];
    *receive_buffer = memory[SK_MEMINFO_RCVBUF];
    *send_buffer = memory[SK_MEMINFO_SNDBUF];
    return 0;
}

/* --- addresses */

void load_address_set(load_address *to, const endpoint *from) {
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        to->v4.sin_family = AF_INET;
        to->v4.sin_port = htons(from->port);
        memcpy(&to->v4.sin_addr, from->address, 4);
        to->length = sizeof to->v4;
    } else if (from->family == 6) {
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_port = htons(from->port);
        to->v6.sin6_scope_id = from->scope;
        memcpy(&to->v6.sin6_addr, from->address, 16);
        to->length = sizeof to->v6;
    }
}

/* Address and port; the zone where both name one. */
int load_address_same(const load_address *a, const load_address *b) {
    if (a->any.sa_family != b->any.sa_family)
        return 0;
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    int zones = a->v6.sin6_scope_id == 0 || b->v6.sin6_scope_id == 0 || a->v6.sin6_scope_id == b->v6.sin6_scope_id;
    return zones && a->v6.sin6_port == b->v6.sin6_port && memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

/* --- out */

int load_send(load_io *io, uint32_t socket, load_datagram *const *datagrams, int count) {
    int error = 0;
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &io->out[i].msg_hdr;
        io->out_data[i].iov_base = datagrams[i]->data;
        io->out_data[i].iov_len = datagrams[i]->len;
        header->msg_name = (void *)&datagrams[i]->to->any;
        header->msg_namelen = datagrams[i]->to->length;
        header->msg_iov = &io->out_data[i];
        header->msg_iovlen = 1;
    }
    for (int done = 0; done < count;) {
        int sent = sendmmsg(io->fds[socket], &io->out[done], (unsigned)(count - done), MSG_DONTWAIT);
        for (int i = 0; i < sent; i++)
            datagrams[done + i]->sent = 1;
        if (sent > 0) {
            done += sent;
            continue;
        }
        error = errno;
        datagrams[done++]->sent = 0; /* this one cannot be sent; the others may */
    }
    return error;
}

/* --- in */

static uint64_t receive_stamp(struct msghdr *header) {
    struct timespec at;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL; item = CMSG_NXTHDR(header, item)) {
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&at, CMSG_DATA(item), sizeof at);
            return (uint64_t)at.tv_sec * NS_PER_S + (uint64_t)at.tv_nsec;
        }
    }
    return 0;
}

/* All sockets, where they are few; else those that epoll names. */
static void fill_ready(load_io *io) {
    io->ready_next = io->ready_count = 0;
    if (io->count <= LOAD_POLLED_SOCKETS) {
        for (uint32_t i = 0; i < io->count; i++)
            io->ready[io->ready_count++] = i;
        return;
    }
    int count = epoll_wait(io->epoll_fd, io->events, READY_MAX, 0);
    for (int i = 0; i < count; i++)
        io->ready[io->ready_count++] = io->events[i].data.u32;
}

/* The next socket of the ready list has its turn: up to `most` datagrams. */
static int take_turn(load_io *io, int first, int most) {
    uint32_t socket = io->ready[io->ready_next++];
    for (int i = first; i < first + most; i++) {
        io->in[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_in6);
        io->in[i].msg_hdr.msg_controllen = sizeof io->in_control[i];
    }
    int got = recvmmsg(io->fds[socket], &io->in[first], (unsigned)most, MSG_DONTWAIT, NULL);
    for (int i = first; i < first + got; i++) {
        load_arrival *arrival = &io->arrivals[i];
        arrival->len = io->in[i].msg_len;
        arrival->socket = (uint16_t)socket;
        arrival->truncated = (io->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        arrival->stamp_ns = receive_stamp(&io->in[i].msg_hdr);
        arrival->source.length = io->in[i].msg_hdr.msg_namelen;
    }
    return got > 0 ? got : 0;
}

/* Every socket has its turn before any has another. */
int load_receive(load_io *io, int first) {
    int most = LOAD_ARRIVALS - first < LOAD_RECEIVE_BATCH ? LOAD_ARRIVALS - first : LOAD_RECEIVE_BATCH;
    int got = 0;
    if (io->ready_next >= io->ready_count)
        fill_ready(io);
    while (got < most && io->ready_next < io->ready_count)
        got += take_turn(io, first + got, most - got);
    return got;
}

load_arrival *load_arrivals(load_io *io) { return io->arrivals; }

/* --- time */

static struct timespec timespec_of(uint64_t ns) {
    struct timespec at = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return at;
}

void load_rest(load_io *io, uint64_t ns) {
    struct timespec most = timespec_of(ns);
    struct pollfd wanted = {.fd = io->epoll_fd, .events = POLLIN};
    (void)ppoll(&wanted, 1, &most, NULL);
}

void load_sleep(uint64_t ns) {
    struct timespec most = timespec_of(ns);
    (void)nanosleep(&most, NULL);
}

int load_ended(int fd, int timeout_ms) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, timeout_ms) == 1;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int64_t load_clock_offset(uint64_t *error_ns) {
    int64_t offset = 0;
    uint64_t narrowest = UINT64_MAX;
    for (int i = 0; i < OFFSET_TRIES; i++) {
        uint64_t before = clock_ns(CLOCK_MONOTONIC);
        uint64_t wall = clock_ns(CLOCK_REALTIME);
        uint64_t between = clock_ns(CLOCK_MONOTONIC) - before;
        if (between < narrowest) {
            narrowest = between;
            offset = (int64_t)(wall - before - between / 2);
        }
    }
    *error_ns = narrowest / 2;
    return offset;
}

uint64_t load_thread_cpu_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

uint32_t load_thread_number(void) { return (uint32_t)syscall(SYS_gettid); }

void load_exact_sleep(void) { (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); }
