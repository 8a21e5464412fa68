/* Engine "socket": ordinary UDP sockets, recvmmsg and sendmmsg, one epoll per worker. Needs no privilege.
 *
 * A port is an unconnected socket. Level-triggered epoll names up to 64 ready ports; they are kept in a ready list and
 * each gives up to PORT_SHARE datagrams before its next turn. The list is emptied before epoll is asked again, and the
 * kernel puts what it has named behind what it has not, so every ready port has its turn however the others are
 * flooded.
 *
 * A socket has to be detached before it is released: only then is it certain to be out of the epoll. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "frames.h"

enum {
    PORT_SHARE = 16, /* datagrams that one port may give per turn */
    DSCP_SHIFT = 2,  /* RFC 2474 3: the DSCP is the upper six bits of the TOS or traffic class octet */
};

#define NO_PORT UINT32_MAX /* in the ready list: the wake_fd, or a port detached since */
#define NS_PER_S 1000000000ull

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

typedef struct stamp_control {
    _Alignas(struct cmsghdr) uint8_t octets[CMSG_SPACE(sizeof(struct timespec))];
} stamp_control;

typedef struct socket_port {
    int fd;         /* -1: not attached */
    uint8_t family; /* 4 or 6 */
} socket_port;

struct engine {
    int epoll_fd;
    int wake_fd;
    uint32_t max_ports;
    int ready_next; /* the ready list is ready[ready_next] to ready[ready_count - 1] */
    int ready_count;
    uint8_t *buffers; /* ENGINE_BATCH of them; in[i] reads into buffer i */
    socket_port *ports;
    struct epoll_event ready[ENGINE_BATCH];
    struct mmsghdr in[ENGINE_BATCH];
    struct iovec in_data[ENGINE_BATCH];
    address in_address[ENGINE_BATCH];
    stamp_control in_control[ENGINE_BATCH];
    struct mmsghdr out[ENGINE_BATCH];
    struct iovec out_data[ENGINE_BATCH];
    address out_address[ENGINE_BATCH];
};

/* --- addresses --- */

/* The length used, or 0 for a family that is neither. */
static socklen_t address_from_endpoint(address *to, const endpoint *from) {
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        to->v4.sin_family = AF_INET;
        to->v4.sin_port = htons(from->port);
        memcpy(&to->v4.sin_addr, from->address, sizeof to->v4.sin_addr);
        return sizeof to->v4;
    }
    if (from->family == 6) {
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_port = htons(from->port);
        to->v6.sin6_scope_id = from->scope;
        memcpy(&to->v6.sin6_addr, from->address, sizeof to->v6.sin6_addr);
        return sizeof to->v6;
    }
    return 0;
}

static void endpoint_from_address(endpoint *to, const address *from) {
    memset(to, 0, sizeof *to);
    if (from->any.sa_family == AF_INET) {
        to->family = 4;
        to->port = ntohs(from->v4.sin_port);
        memcpy(to->address, &from->v4.sin_addr, sizeof from->v4.sin_addr);
    } else if (from->any.sa_family == AF_INET6) {
        to->family = 6;
        to->port = ntohs(from->v6.sin6_port);
        to->scope = from->v6.sin6_scope_id;
        memcpy(to->address, &from->v6.sin6_addr, sizeof from->v6.sin6_addr);
    }
}

/* --- local addresses: control side --- */

static int set_int(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) ? -errno : 0;
}

/* What may change while the socket is in use. */
static int apply_options(int fd, int domain, const engine_port_options *options) {
    if (options->dscp > DSCP_MAX)
        return -EINVAL;
    int octet = options->dscp << DSCP_SHIFT;
    int error =
        domain == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, octet) : set_int(fd, IPPROTO_IP, IP_TOS, octet);
    if (error == 0 && options->receive_buffer != 0) {
        uint32_t size = options->receive_buffer;
        error = set_int(fd, SOL_SOCKET, SO_RCVBUF, size > INT32_MAX ? INT32_MAX : (int)size);
    }
    return error;
}

/* Receive stamps, and fragments instead of EMSGSIZE for what is longer than the path allows. No SO_REUSEADDR and no
 * SO_REUSEPORT: a port in use must be refused, not shared. */
static int configure(int fd, int domain) {
    int error = set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (error == 0 && domain == AF_INET)
        error = set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    if (error == 0 && domain == AF_INET6)
        error = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (error == 0 && domain == AF_INET6)
        error = set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    return error;
}

static int open_local(int fd, endpoint *local, const engine_port_options *options) {
    address name;
    socklen_t length = address_from_endpoint(&name, local);
    int error = configure(fd, name.any.sa_family);
    if (error == 0)
        error = apply_options(fd, name.any.sa_family, options);
    if (error != 0)
        return error;
    if (bind(fd, &name.any, length) || getsockname(fd, &name.any, &length))
        return -errno;
    endpoint_from_address(local, &name);
    return 0;
}

static int socket_bind(endpoint *local, const engine_port_options *options) {
    if (local->family != 4 && local->family != 6)
        return -EAFNOSUPPORT;
    int domain = local->family == 4 ? AF_INET : AF_INET6;
    int fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    int error = open_local(fd, local, options);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* AF_INET, AF_INET6, or -errno. */
static int domain_of(int fd) {
    int domain = 0;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) ? -errno : domain;
}

static int socket_set_options(int handle, const engine_port_options *options) {
    int domain = domain_of(handle);
    return domain < 0 ? domain : apply_options(handle, domain, options);
}

static void socket_release(int handle) { close(handle); }

/* --- create and destroy --- */

static void prepare_receive(engine *self) {
    for (int i = 0; i < ENGINE_BATCH; i++) {
        struct msghdr *header = &self->in[i].msg_hdr;
        self->in_data[i].iov_base = buffer_data(self->buffers, (size_t)i);
        self->in_data[i].iov_len = ENGINE_FRAME_MAX;
        header->msg_iov = &self->in_data[i];
        header->msg_iovlen = 1;
        header->msg_name = &self->in_address[i];
        header->msg_namelen = sizeof self->in_address[i];
        header->msg_control = &self->in_control[i];
        header->msg_controllen = sizeof self->in_control[i];
    }
}

static void socket_destroy(engine *self) {
    if (self == NULL)
        return;
    if (self->epoll_fd >= 0)
        close(self->epoll_fd);
    if (self->buffers != NULL) {
        for (size_t i = 0; i < ENGINE_BATCH; i++)
            buffer_wipe(self->buffers, i, ENGINE_FRAME_MAX);
        buffers_unmap(self->buffers, ENGINE_BATCH);
    }
    free(self->ports);
    free(self);
}

/* Everything that create() takes from the system. */
static int acquire(engine *self) {
    self->ports = calloc(self->max_ports, sizeof *self->ports);
    self->buffers = buffers_map(ENGINE_BATCH);
    if (self->ports == NULL || self->buffers == NULL)
        return ENOMEM;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return errno;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = NO_PORT};
    if (self->wake_fd >= 0 && epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event))
        return errno;
    return 0;
}

static engine *socket_create(int wake_fd, uint32_t max_ports, int *error) {
    *error = max_ports == 0 || max_ports == NO_PORT ? EINVAL : ENOMEM;
    engine *self = *error == EINVAL ? NULL : calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->epoll_fd = -1;
    self->wake_fd = wake_fd;
    self->max_ports = max_ports;
    *error = acquire(self);
    if (*error != 0) {
        socket_destroy(self);
        return NULL;
    }
    for (uint32_t i = 0; i < max_ports; i++)
        self->ports[i].fd = -1;
    prepare_receive(self);
    return self;
}

static int socket_attach(engine *self, uint32_t port, int handle) {
    if (port >= self->max_ports)
        return -EINVAL;
    if (self->ports[port].fd >= 0)
        return -EEXIST;
    int domain = domain_of(handle);
    if (domain < 0)
        return domain;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = port};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, handle, &event))
        return -errno;
    self->ports[port].fd = handle;
    self->ports[port].family = domain == AF_INET6 ? 6 : 4;
    return 0;
}

/* The port is taken out of the ready list too: an event fetched before must not yield a frame after. */
static int socket_detach(engine *self, uint32_t port) {
    if (port >= self->max_ports || self->ports[port].fd < 0)
        return -ENOENT;
    (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, self->ports[port].fd, NULL); /* ENOENT: silenced before */
    self->ports[port].fd = -1;
    for (int i = self->ready_next; i < self->ready_count; i++)
        if (self->ready[i].data.u32 == port)
            self->ready[i].data.u32 = NO_PORT;
    return 0;
}

/* --- receive --- */

static int read_wake(const engine *self) {
    uint64_t value;
    return read(self->wake_fd, &value, sizeof value) == (ssize_t)sizeof value ? ENGINE_WOKEN : 0;
}

/* For turns in which epoll may not have come to the wake_fd. It may be a blocking one, hence poll. */
static int poll_wake(const engine *self) {
    struct pollfd wake = {.fd = self->wake_fd, .events = POLLIN};
    return self->wake_fd >= 0 && poll(&wake, 1, 0) == 1 ? read_wake(self) : 0;
}

/* Fills the ready list, which is empty. The number of events, or -errno. */
static int wait_ready(engine *self, int timeout_ms, int *woken) {
    self->ready_next = self->ready_count = 0;
    int count = epoll_wait(self->epoll_fd, self->ready, ENGINE_BATCH, timeout_ms);
    if (count < 0)
        return errno == EINTR ? 0 : -errno; /* a signal ends the wait early */
    self->ready_count = count;
    bool named = false;
    for (int i = 0; i < count && !named; i++)
        named = self->ready[i].data.u32 == NO_PORT;
    if (named)
        *woken |= read_wake(self);
    else if (count == ENGINE_BATCH)
        *woken |= poll_wake(self);
    return count;
}

static uint64_t receive_stamp(struct msghdr *header) {
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL; item = CMSG_NXTHDR(header, item)) {
        if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(item), sizeof at);
            return (uint64_t)at.tv_sec * NS_PER_S + (uint64_t)at.tv_nsec;
        }
    }
    return 0;
}

/* Describes datagram i and makes its header ready for the next use: the kernel has overwritten the lengths. */
static void describe(engine *self, int i, uint32_t port, engine_frame *frame) {
    struct msghdr *header = &self->in[i].msg_hdr;
    frame->data = buffer_data(self->buffers, (size_t)i);
    frame->len = self->in[i].msg_len;
    frame->capacity = BUFFER_CAPACITY;
    frame->port = port;
    frame->outcome = ENGINE_SENT;
    frame->truncated = (header->msg_flags & MSG_TRUNC) != 0;
    frame->reserved = 0;
    frame->received_ns = receive_stamp(header);
    endpoint_from_address(&frame->remote, &self->in_address[i]);
    header->msg_namelen = sizeof self->in_address[i];
    header->msg_controllen = sizeof self->in_control[i];
}

/* A pending error is gone once it was returned, and an empty queue is not an error (datagrams with a bad checksum are
 * discarded only when they are read). A socket that was shut down, or is none, would be reported for ever: silence it.
 */
static void receive_failed(engine *self, const struct epoll_event *event, int error) {
    bool shut = error == EAGAIN && (event->events & (EPOLLHUP | EPOLLRDHUP)) != 0;
    bool broken = error == EBADF || error == ENOTSOCK || error == EINVAL || error == EOPNOTSUPP;
    if (shut || broken)
        (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, self->ports[event->data.u32].fd, NULL);
}

/* One turn for each port of the ready list, until the batch is full. `*more` is set when a port gave its whole
 * share. The new count. */
static int take_turns(engine *self, engine_frame *frames, int count, int most, bool *more) {
    while (self->ready_next < self->ready_count && count < most) {
        const struct epoll_event *event = &self->ready[self->ready_next++];
        uint32_t port = event->data.u32;
        if (port == NO_PORT)
            continue;
        int share = most - count < PORT_SHARE ? most - count : PORT_SHARE;
        int got = recvmmsg(self->ports[port].fd, &self->in[count], (unsigned)share, MSG_DONTWAIT, NULL);
        if (got < 0)
            receive_failed(self, event, errno);
        for (int i = 0; i < got; i++, count++)
            describe(self, count, port, &frames[count]);
        *more |= got == PORT_SHARE;
    }
    return count;
}

/* Sleeps at most once, and only while it has nothing to give. May return 0 before the time is over: an interrupted
 * wait, or an event that brought no datagram. */
static int socket_receive(engine *self, engine_frame *frames, int most, int timeout_ms, int *woken) {
    *woken = 0;
    if (most < 1)
        return -EINVAL;
    if (most > ENGINE_BATCH)
        most = ENGINE_BATCH;
    int count = 0;
    bool more = self->ready_next < self->ready_count; /* are datagrams likely to be left behind? */
    if (more) {
        *woken = poll_wake(self);
        count = take_turns(self, frames, count, most, &more);
    }
    while (count == 0 || (more && count < most)) {
        int events = wait_ready(self, count > 0 || *woken ? 0 : timeout_ms, woken);
        if (events < 0)
            return count > 0 ? count : events;
        int before = count;
        more = events == ENGINE_BATCH;
        count = take_turns(self, frames, count, most, &more);
        if (count == before)
            break;
    }
    return count;
}

/* --- send --- */

/* Sets the outcome if not. */
static bool may_leave(const engine *self, engine_frame *frame) {
    if (frame->port >= self->max_ports || self->ports[frame->port].fd < 0) {
        frame->outcome = ENGINE_REFUSED;
        return false;
    }
    if (!can_reach(self->ports[frame->port].family, &frame->remote)) {
        frame->outcome = ENGINE_UNREACHABLE;
        return false;
    }
    return true;
}

static uint8_t outcome_of(int error) {
    switch (error) {
    case EAGAIN:
    case ENOBUFS:
        return ENGINE_QUEUE_FULL;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:
        return ENGINE_UNREACHABLE;
    default:
        return ENGINE_REFUSED;
    }
}

/* Fills the outgoing headers with the frames from the first one that leave from its port. How many. */
static int gather(engine *self, engine_frame *const *frames, int count) {
    int run = 0;
    while (run < count && run < ENGINE_BATCH && frames[run]->port == frames[0]->port && may_leave(self, frames[run])) {
        struct msghdr *header = &self->out[run].msg_hdr;
        memset(header, 0, sizeof *header);
        self->out_data[run].iov_base = frames[run]->data;
        self->out_data[run].iov_len = frames[run]->len;
        header->msg_iov = &self->out_data[run];
        header->msg_iovlen = 1;
        header->msg_name = &self->out_address[run];
        header->msg_namelen = address_from_endpoint(&self->out_address[run], &frames[run]->remote);
        run++;
    }
    return run;
}

/* Sends what was gathered. sendmmsg stops at a frame that fails and tells its error only when that frame is the first
 * of a call, so the next call starts with it; after its error the following one does. No frame is sent twice. */
static int flush(engine *self, int fd, engine_frame *const *frames, int run) {
    int sent = 0;
    for (int at = 0; at < run;) {
        int done = sendmmsg(fd, &self->out[at], (unsigned)(run - at), MSG_DONTWAIT);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            frames[at++]->outcome = outcome_of(errno);
            continue;
        }
        for (int i = 0; i < done; i++)
            frames[at++]->outcome = ENGINE_SENT;
        sent += done;
    }
    return sent;
}

static int socket_send(engine *self, engine_frame *const *frames, int count) {
    int sent = 0;
    for (int at = 0; at < count;) {
        int run = gather(self, frames + at, count - at);
        if (run > 0)
            sent += flush(self, self->ports[frames[at]->port].fd, frames + at, run);
        at += run > 0 ? run : 1;
    }
    return sent;
}

const engine_ops engine_socket = {
    .name = "socket",
    .capabilities = 0,
    .create = socket_create,
    .destroy = socket_destroy,
    .bind = socket_bind,
    .set_options = socket_set_options,
    .release = socket_release,
    .attach = socket_attach,
    .detach = socket_detach,
    .receive = socket_receive,
    .send = socket_send,
};
