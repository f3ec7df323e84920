/* Preloaded into every process of a cluster under test: a storage that fails now and then, and a clock that jumps.
 *
 * SHIM_PREFIX, SHIM_EVERY   every n-th write, fsync and rename of a process under that path ends with EIO
 * SHIM_CLOCK                file of 8 bytes: seconds, as a native int64, by which the time of day is off; changed at will
 *
 * Only what reads the time of day sees the jump. Waits until a time of day keep their length, as deadlines are taken back
 * to the true clock: otherwise a jump would look like a hang that no real one causes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *prefix;
static long every;
static atomic_long calls;
static volatile int64_t *off;
static long (*raw)(long, ...);
static int (*gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    raw = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *n = getenv("SHIM_EVERY"), *clock = getenv("SHIM_CLOCK");
    prefix = getenv("SHIM_PREFIX");
    every = n ? atol(n) : 0;
    if (clock) {
        int file = open(clock, O_RDONLY | O_CLOEXEC);
        void *page = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
        if (page != MAP_FAILED) off = page;
        if (file >= 0) close(file);
    }
}

static long call(long number, long a, long b, long c, long d, long e, long f) {
    if (!raw) begin();
    return raw(number, a, b, c, d, e, f);
}

static int fails(const char *path) {
    if (!every || !prefix || strncmp(path, prefix, strlen(prefix))) return 0;
    if ((atomic_fetch_add(&calls, 1) + 1) % every) return 0;
    errno = EIO;
    return 1;
}

static int fails_at(int file) {
    char link[64], path[PATH_MAX];
    if (!every) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return fails(path);
}

ssize_t write(int file, const void *bytes, size_t count) {
    return fails_at(file) ? -1 : call(SYS_write, file, (long)bytes, count, 0, 0, 0);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return fails_at(file) ? -1 : call(SYS_pwrite64, file, (long)bytes, count, at, 0, 0);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    return fails_at(file) ? -1 : call(SYS_pwrite64, file, (long)bytes, count, at, 0, 0);
}

int fsync(int file) { return fails_at(file) ? -1 : (int)call(SYS_fsync, file, 0, 0, 0, 0, 0); }

int rename(const char *from, const char *to) {
    return fails(to) ? -1 : (int)call(SYS_renameat2, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0, 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!gettime) begin();
    int result = gettime(clock, now);
    if (!result && off && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *off;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}

static struct timespec true_time(const struct timespec *deadline) {
    struct timespec moved = *deadline;
    if (off) moved.tv_sec -= *off;
    if (moved.tv_sec < 0) moved.tv_sec = 0;
    return moved;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) {
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlvsym(
            RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (!real) *(void **)&real = next("pthread_cond_timedwait");
    }
    if (!off || (condition->__data.__wrefs & 2)) return real(condition, mutex, deadline); /* a monotonic one */
    struct timespec moved = true_time(deadline);
    return real(condition, mutex, &moved);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *deadline) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    if (!real) *(void **)&real = next("pthread_cond_clockwait");
    struct timespec moved = clock == CLOCK_REALTIME ? true_time(deadline) : *deadline;
    return real(condition, mutex, clock, &moved);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) *(void **)&real = next("sem_timedwait");
    struct timespec moved = true_time(deadline);
    return real(semaphore, &moved);
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *deadline) {
    static int (*real)(sem_t *, clockid_t, const struct timespec *);
    if (!real) *(void **)&real = next("sem_clockwait");
    struct timespec moved = clock == CLOCK_REALTIME ? true_time(deadline) : *deadline;
    return real(semaphore, clock, &moved);
}

long syscall(long number, ...) {
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    struct timespec moved;
    if (number == SYS_futex && off && a[3] && (a[1] & FUTEX_CLOCK_REALTIME)) { /* how some C++ libraries wait */
        moved = true_time((const struct timespec *)a[3]);
        a[3] = (long)&moved;
    }
    return call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
