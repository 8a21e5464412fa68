/* The contract between the packet loop and an engine: where datagrams come from and go to.
 *
 * Who owns a frame. The engine owns every buffer. receive() lends frames until the next receive() of the
 * same engine; the loop may rewrite them in place and hands back, by send(), each at most once, those that
 * are to leave. What it does not send is dropped. So one datagram in is at most one datagram out.
 *
 * Threads. bind, release and the create/destroy pair belong to the control side, any thread at a time; attach,
 * detach, receive and send belong to the one worker that drives the engine. A handle is detached before its release. */
#ifndef SRTPGW_ENGINE_H
#define SRTPGW_ENGINE_H

#include <stddef.h>
#include <stdint.h>

enum {
    ENGINE_BATCH = 64,                 /* most frames of one receive() */
    ENGINE_FRAME_MAX = 65507,          /* longest UDP payload over IPv4 */
    ENGINE_HEAD_ROOM = 64,
    ENGINE_TAIL_ROOM = 512,            /* tag, MKI, index and what a kernel may overwrite */
    ENGINE_WOKEN = 1,                  /* receive(): wake_fd was readable (and has been read) */
};

/* An address and port, comparable by memcmp: all unused octets are zero. */
typedef struct endpoint {
    uint8_t family;    /* 4, 6, or 0 for none */
    uint8_t reserved;
    uint16_t port;     /* host order */
    uint32_t scope;    /* IPv6 zone index, else 0 */
    uint8_t address[16]; /* network order; IPv4 in the first four */
} endpoint;

enum engine_outcome { ENGINE_SENT = 0, ENGINE_QUEUE_FULL, ENGINE_UNREACHABLE, ENGINE_REFUSED };

/* A datagram. As received: port is where it arrived and remote its source. As sent: port is where it leaves
 * from, remote where it goes. */
typedef struct engine_frame {
    uint8_t *data;
    uint32_t len;
    uint32_t capacity;     /* octets from data to the end of the buffer, tail room included */
    uint32_t port;         /* number given to attach() */
    uint8_t outcome;       /* out, send: enum engine_outcome */
    uint8_t truncated;     /* out, receive: the datagram was longer than the buffer */
    uint16_t reserved;
    uint64_t received_ns;  /* kernel receive stamp, CLOCK_REALTIME, 0 where there is none */
    endpoint remote;
} engine_frame;

typedef struct engine_port_options {
    uint8_t dscp;          /* 0 to 63 */
    uint8_t reserved[3];
    uint32_t receive_buffer; /* octets, 0 for the system's default */
} engine_port_options;

typedef struct engine engine;

typedef struct engine_ops {
    const char *name;
    uint32_t capabilities;
    /* wake_fd (an eventfd, or -1) interrupts receive(). NULL with *error = errno on failure. */
    engine *(*create)(int wake_fd, uint32_t max_ports, int *error);
    void (*destroy)(engine *self);
    /* Opens a local address; local->port 0 lets the system choose and is filled in. A handle >= 0, or -errno. */
    int (*bind)(endpoint *local, const engine_port_options *options);
    int (*set_options)(int handle, const engine_port_options *options); /* 0 or -errno */
    void (*release)(int handle);
    int (*attach)(engine *self, uint32_t port, int handle); /* 0 or -errno */
    int (*detach)(engine *self, uint32_t port);
    /* Up to `most` frames, waiting at most timeout_ms (-1: until woken). Sets *woken to ENGINE_WOKEN or 0.
     * Ports are served fairly: no port may starve others. The count, or -errno. */
    int (*receive)(engine *self, engine_frame *frames, int most, int timeout_ms, int *woken);
    /* Sends frames in order, sets each outcome. The number sent. */
    int (*send)(engine *self, engine_frame *const *frames, int count);
} engine_ops;

extern const engine_ops engine_socket;
extern const engine_ops engine_memory;

/* The memory engine's far side: what the network would do. Only for tests, fuzzing and the ceiling figure.
 * A handle is the local port number. inject copies a datagram for an attached port into the queue of incoming frames
 * (0, -ENOENT for another port, -ENOBUFS when 4096 wait); collect takes the oldest sent frame (its length, -EAGAIN
 * when there is none, -EMSGSIZE when it is longer than room; octets NULL drops the content). Single producer and
 * consumer. */
int engine_memory_inject(engine *self, uint32_t port, const endpoint *source, uint64_t received_ns,
                         const uint8_t *octets, size_t len);
int engine_memory_collect(engine *self, engine_frame *meta, uint8_t *octets, size_t room);

#endif
