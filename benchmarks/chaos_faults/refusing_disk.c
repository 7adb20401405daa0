/* Loaded before libc into every process of a run: what lies below one folder behaves like a failing disk.
 *
 *   CHAOS_DISK_ROOT    paths that begin with it
 *   CHAOS_DISK_PART    and contain this, where it is set
 *   CHAOS_DISK_CALLS   "write" (also names: open for creation, mkdir, rename, fsync), "read", "sync" or "lock"
 *   CHAOS_DISK_ERRNO   what such a call is answered with
 *   CHAOS_DISK_COUNT   a file of 8 bytes, shared by all processes: how many such calls there were
 *   CHAOS_DISK_AFTER   how many of them still go through
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *root, *part, *calls;
static long after, number;
static long *count;

__attribute__((constructor)) static void begin(void) {
    root = getenv("CHAOS_DISK_ROOT");
    part = getenv("CHAOS_DISK_PART");
    calls = getenv("CHAOS_DISK_CALLS");
    const char *file = getenv("CHAOS_DISK_COUNT"), *limit = getenv("CHAOS_DISK_AFTER"), *fault = getenv("CHAOS_DISK_ERRNO");
    if (!root || !calls || !file || !limit || !fault) {
        root = NULL;
        return;
    }
    after = atol(limit);
    number = atol(fault);
    int fd = open(file, O_RDWR);
    void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    if (shared == MAP_FAILED) root = NULL;
    else count = shared;
}

static int refused(const char *path, const char *kind) {
    if (!root || strcmp(kind, calls) || strncmp(path, root, strlen(root)) || (part && !strstr(path, part))) return 0;
    if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) <= after) return 0;
    errno = (int)number;
    return 1;
}

static int refused_at(int folder, const char *name, const char *kind) {
    char path[2 * PATH_MAX];
    if (!root || !name) return 0;
    if (name[0] == '/') return refused(name, kind);
    if (folder == AT_FDCWD) {
        if (!getcwd(path, PATH_MAX)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, path, PATH_MAX - 1);
        if (length < 0) return 0;
        path[length] = 0;
    }
    strncat(path, "/", 2);
    strncat(path, name, PATH_MAX - 1);
    return refused(path, kind);
}

static int refused_open(int fd, const char *kind) {
    char link[64], path[PATH_MAX];
    if (!root || strcmp(kind, calls)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return refused(path, kind);
}

#define NEXT(type, name, ...) static type (*next)(__VA_ARGS__); if (!next) next = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *from, size_t size) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    return refused_open(fd, "write") ? -1 : next(fd, from, size);
}
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return refused_open(fd, "write") ? -1 : next(fd, from, size, at);
}
ssize_t writev(int fd, const struct iovec *from, int pieces) {
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    return refused_open(fd, "write") ? -1 : next(fd, from, pieces);
}
ssize_t read(int fd, void *into, size_t size) {
    NEXT(ssize_t, "read", int, void *, size_t);
    return refused_open(fd, "read") ? -1 : next(fd, into, size);
}
ssize_t pread64(int fd, void *into, size_t size, off64_t at) {
    NEXT(ssize_t, "pread64", int, void *, size_t, off64_t);
    return refused_open(fd, "read") ? -1 : next(fd, into, size, at);
}
int fsync(int fd) {
    NEXT(int, "fsync", int);
    return refused_open(fd, "write") || refused_open(fd, "sync") ? -1 : next(fd);
}
int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    return refused_at(AT_FDCWD, path, "write") ? -1 : next(path, mode);
}
int rename(const char *from, const char *to) {
    NEXT(int, "rename", const char *, const char *);
    return refused_at(AT_FDCWD, to, "write") ? -1 : next(from, to);
}
int open64(const char *path, int flags, ...) {
    NEXT(int, "open64", const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    return (flags & O_CREAT) && access(path, F_OK) && refused_at(AT_FDCWD, path, "write") ? -1 : next(path, flags, mode);
}
int flock(int fd, int what) {
    NEXT(int, "flock", int, int);
    return refused_open(fd, "lock") ? -1 : next(fd, what);
}
int fcntl64(int fd, int what, ...) {
    NEXT(int, "fcntl64", int, int, ...);
    va_list rest;
    va_start(rest, what);
    void *given = va_arg(rest, void *);
    va_end(rest);
    int locks = what == F_SETLK || what == F_SETLKW;
    return locks && refused_open(fd, "lock") ? -1 : next(fd, what, given);
}
