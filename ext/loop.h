/* What a worker needs of the system beside its engine: a thread without signals, clocks, eventfds. */
#ifndef SRTPGW_LOOP_H
#define SRTPGW_LOOP_H

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SIGNAL_SET_SIZE = 256 };
_Static_assert(sizeof(sigset_t) <= SIGNAL_SET_SIZE, "room for the signal mask");

static inline int worker_mask_signals(void *saved) {
    sigset_t all, old;
    sigfillset(&all);
    int error = pthread_sigmask(SIG_SETMASK, &all, &old);
    memcpy(saved, &old, sizeof(old));
    return error;
}
static inline void worker_restore_signals(void *saved) {
    sigset_t old;
    memcpy(&old, saved, sizeof(old));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
static inline int worker_pin(pthread_t thread, int cpu) {
    cpu_set_t set;
    if (cpu >= CPU_SETSIZE)
        return EINVAL;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return pthread_setaffinity_np(thread, sizeof(set), &set);
}
static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint64_t monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline uint64_t realtime_ns(void) { return clock_ns(CLOCK_REALTIME); }

static inline int wake_open(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
static inline void wake(int fd) {
    uint64_t one = 1;
    ssize_t written = fd < 0 ? 0 : write(fd, &one, sizeof(one));
    (void)written; /* EAGAIN: the counter is full, so the reader is awake anyway */
}
static inline void wake_read(int fd) {
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof(count));
    (void)got;
}
/* Until the eventfd was written; a spurious return is harmless, callers look at their condition again. */
static inline void wake_wait(int fd) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    poll(&wanted, 1, 1000);
    wake_read(fd);
}
/* A moment's rest, so that an error that stays does not spin. */
static inline void rest(void) { poll(NULL, 0, 10); }
/* Until a time of the monotonic clock, as exactly as the system can: without the slack of 50 us that it adds else. */
static inline void rest_until(uint64_t ns) {
    struct timespec at = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}
static inline void exact_timers(void) { prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul); }
static inline void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}
static inline int own_pid(void) { return (int)getpid(); }

#endif
