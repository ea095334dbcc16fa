/* Makes chosen calls fail: preloaded into airgap (LD_PRELOAD), armed by faults_arm(). See tests/support/faults.py.
 *
 * Every call that touches files is of a kind ("write", "fsync", ...). The calls of the armed kind on files below one directory are
 * counted over all threads; number N fails with a chosen errno, or N and all after it. Nothing else is changed, and what
 * does not lie below that directory (Python's own files, sockets, terminals) is not even counted.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    char below[PATH_MAX]; /* empty: not armed */
    char kind[16];        /* empty: every call is only written to the log */
    long number;
    int error, for_ever, log;
    long seen;
} fault = {.log = -1};
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

/* Arm: call NUMBER (from 1) of a kind below a directory fails with ERROR, or raises signal -ERROR and is done after that. LOG takes one line a call, or is -1. */
void faults_arm(const char *below, const char *kind, long number, int error, int for_ever, int log)
{
    snprintf(fault.kind, sizeof fault.kind, "%s", kind);
    fault.number = number;
    fault.error = error;
    fault.for_ever = for_ever;
    fault.log = log;
    snprintf(fault.below, sizeof fault.below, "%s", below);
}

/* The name of an open file, or empty. */
static void name_of(int fd, char *name)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, name, PATH_MAX - 1);
    name[length > 0 ? length : 0] = 0;
}

/* Whether this call, on an open file (PATH is NULL) or a path from a directory, is the one that fails; errno is set then.
   The log gets its kind, the library that calls, and the file. */
static int fails(const char *kind, int fd, const char *path, const void *caller)
{
    Dl_info from = {.dli_fname = NULL};
    char name[2 * PATH_MAX + 2], start[PATH_MAX];
    int saved = errno, hit = 0;
    size_t length = strlen(fault.below);
    if (!length || (fault.log < 0 && strcmp(kind, fault.kind)))
        return 0;
    if (path && *path == '/') {
        snprintf(name, sizeof name, "%s", path);
    } else {
        if (path && fd == AT_FDCWD) {
            if (syscall(SYS_getcwd, start, sizeof start) < 0)
                *start = 0;
        } else {
            name_of(fd, start);
        }
        snprintf(name, sizeof name, path && *path ? "%s/%s" : "%s", start, path);
    }
    errno = saved;
    if (strncmp(name, fault.below, length) || (name[length] && name[length] != '/'))
        return 0;
    pthread_mutex_lock(&guard);
    if (!strcmp(kind, fault.kind)) {
        fault.seen++;
        hit = fault.for_ever ? fault.seen >= fault.number : fault.seen == fault.number;
    }
    if (fault.log >= 0) {
        char line[3 * PATH_MAX];
        const char *library = dladdr(caller, &from) && from.dli_fname ? strrchr(from.dli_fname, '/') : NULL;
        int count = snprintf(line, sizeof line, "%s%s %s %s\n", hit ? "!" : "", kind, library ? library + 1 : "?", name + length);
        syscall(SYS_write, fault.log, line, (size_t)count);
    }
    pthread_mutex_unlock(&guard);
    if (hit && fault.error < 0) { /* stop here, until somebody says go on: what happens meanwhile is theirs */
        kill(getpid(), -fault.error);
        errno = saved;
        return 0;
    }
    errno = hit ? fault.error : saved;
    return hit;
}

/* A function of the same name that asks first. TYPE: what it gives back; FAILED: that, for an error. */
#define WRAP(type, failed, name, kind, fd, path, declared, given)                                                              \
    type name declared                                                                                                         \
    {                                                                                                                          \
        static type(*next) declared;                                                                                           \
        if (!next)                                                                                                             \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                                                         \
        return fails(kind, fd, path, __builtin_return_address(0)) ? (type)(failed) : next given;                                                            \
    }
#define ON_FD(type, name, kind, declared, given) WRAP(type, -1, name, kind, fd, NULL, declared, given)
#define ON_PATH(name, kind, declared, given) WRAP(int, -1, name, kind, AT_FDCWD, path, declared, given)
#define ON_PLACE(name, kind, declared, given) WRAP(int, -1, name, kind, at, path, declared, given)

ON_FD(ssize_t, read, "read", (int fd, void *to, size_t n), (fd, to, n))
ON_FD(ssize_t, readv, "read", (int fd, const struct iovec *v, int n), (fd, v, n))
ON_FD(ssize_t, pread, "read", (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
ON_FD(ssize_t, pread64, "read", (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
ON_FD(ssize_t, preadv, "read", (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(ssize_t, preadv64, "read", (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_FD(ssize_t, preadv2, "read", (int fd, const struct iovec *v, int n, off_t at, int flags), (fd, v, n, at, flags))
ON_FD(ssize_t, preadv64v2, "read", (int fd, const struct iovec *v, int n, off64_t at, int flags), (fd, v, n, at, flags))
ON_FD(ssize_t, write, "write", (int fd, const void *from, size_t n), (fd, from, n))
ON_FD(ssize_t, writev, "write", (int fd, const struct iovec *v, int n), (fd, v, n))
ON_FD(ssize_t, pwrite, "write", (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
ON_FD(ssize_t, pwrite64, "write", (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
ON_FD(ssize_t, pwritev, "write", (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(ssize_t, pwritev64, "write", (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_FD(ssize_t, sendfile, "sendfile", (int out, int fd, off_t *at, size_t n), (out, fd, at, n))
ON_FD(ssize_t, sendfile64, "sendfile", (int out, int fd, off64_t *at, size_t n), (out, fd, at, n))
ON_FD(ssize_t, copy_file_range, "sendfile", (int from, off64_t *a, int fd, off64_t *b, size_t n, unsigned flags), (from, a, fd, b, n, flags))
ON_FD(int, fsync, "fsync", (int fd), (fd))
ON_FD(int, fdatasync, "fsync", (int fd), (fd))
ON_FD(int, syncfs, "fsync", (int fd), (fd))
ON_FD(int, ftruncate, "truncate", (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, "truncate", (int fd, off64_t size), (fd, size))
ON_FD(int, flock, "lock", (int fd, int how), (fd, how))
ON_FD(int, fstat, "fstat", (int fd, struct stat *to), (fd, to))
ON_FD(int, fstat64, "fstat", (int fd, struct stat64 *to), (fd, to))
ON_FD(int, fstatvfs, "statvfs", (int fd, struct statvfs *to), (fd, to))
ON_FD(int, fstatvfs64, "statvfs", (int fd, struct statvfs64 *to), (fd, to))
ON_FD(int, fchmod, "chmod", (int fd, mode_t mode), (fd, mode))
ON_PATH(chmod, "chmod", (const char *path, mode_t mode), (path, mode))
ON_PATH(stat, "stat", (const char *path, struct stat *to), (path, to))
ON_PATH(stat64, "stat", (const char *path, struct stat64 *to), (path, to))
ON_PATH(lstat, "stat", (const char *path, struct stat *to), (path, to))
ON_PATH(lstat64, "stat", (const char *path, struct stat64 *to), (path, to))
ON_PLACE(fstatat, "stat", (int at, const char *path, struct stat *to, int flags), (at, path, to, flags))
ON_PLACE(fstatat64, "stat", (int at, const char *path, struct stat64 *to, int flags), (at, path, to, flags))
ON_PATH(statvfs, "statvfs", (const char *path, struct statvfs *to), (path, to))
ON_PATH(statvfs64, "statvfs", (const char *path, struct statvfs64 *to), (path, to))
ON_PATH(unlink, "unlink", (const char *path), (path))
ON_PLACE(unlinkat, "unlink", (int at, const char *path, int flags), (at, path, flags))
ON_PATH(rmdir, "rmdir", (const char *path), (path))
ON_PATH(mkdir, "mkdir", (const char *path, mode_t mode), (path, mode))
ON_PLACE(mkdirat, "mkdir", (int at, const char *path, mode_t mode), (at, path, mode))
WRAP(int, -1, rename, "rename", AT_FDCWD, path, (const char *from, const char *path), (from, path))
WRAP(int, -1, renameat, "rename", at, path, (int b, const char *from, int at, const char *path), (b, from, at, path))
WRAP(int, -1, renameat2, "rename", at, path, (int b, const char *from, int at, const char *path, unsigned f), (b, from, at, path, f))
WRAP(int, -1, link, "link", AT_FDCWD, path, (const char *from, const char *path), (from, path))
WRAP(int, -1, linkat, "link", at, path, (int b, const char *from, int at, const char *path, int f), (b, from, at, path, f))
WRAP(int, -1, symlink, "link", AT_FDCWD, path, (const char *to, const char *path), (to, path))
WRAP(DIR *, 0, opendir, "list", AT_FDCWD, path, (const char *path), (path))
WRAP(DIR *, 0, fdopendir, "list", fd, NULL, (int fd), (fd))
WRAP(struct dirent *, 0, readdir, "list", dirfd(d), NULL, (DIR * d), (d))
WRAP(struct dirent64 *, 0, readdir64, "list", dirfd(d), NULL, (DIR * d), (d))

/* These give an error back instead of setting errno. */
#define GIVES_ERROR(name, kind, declared, given)                                                                               \
    int name declared                                                                                                          \
    {                                                                                                                          \
        static int(*next) declared;                                                                                            \
        if (!next)                                                                                                             \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                                                         \
        return fails(kind, fd, NULL, __builtin_return_address(0)) ? errno : next given;                                                                     \
    }
GIVES_ERROR(posix_fallocate, "allocate", (int fd, off_t at, off_t n), (fd, at, n))
GIVES_ERROR(posix_fallocate64, "allocate", (int fd, off64_t at, off64_t n), (fd, at, n))
GIVES_ERROR(posix_fadvise, "advise", (int fd, off_t at, off_t n, int how), (fd, at, n, how))
GIVES_ERROR(posix_fadvise64, "advise", (int fd, off64_t at, off64_t n, int how), (fd, at, n, how))

/* As the kernel does: the file is closed even when it says that something went wrong. */
int close(int fd)
{
    int failed = fails("close", fd, NULL, __builtin_return_address(0)), error = errno;
    int result = (int)syscall(SYS_close, fd);
    if (failed)
        errno = error;
    return failed ? -1 : result;
}

/* open and openat may have a mode at the end. */
#define OPENS(name, at, declared)                                                                                              \
    int name declared                                                                                                          \
    {                                                                                                                          \
        mode_t mode = 0;                                                                                                       \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                                 \
            va_list more;                                                                                                      \
            va_start(more, flags);                                                                                             \
            mode = va_arg(more, mode_t);                                                                                       \
            va_end(more);                                                                                                      \
        }                                                                                                                      \
        return fails("open", at, path, __builtin_return_address(0)) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);                                 \
    }
OPENS(open, AT_FDCWD, (const char *path, int flags, ...))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...))
OPENS(openat, at, (int at, const char *path, int flags, ...))
OPENS(openat64, at, (int at, const char *path, int flags, ...))

/* SQLite's locks. */
#define LOCKS(name)                                                                                                            \
    int name(int fd, int command, ...)                                                                                         \
    {                                                                                                                          \
        va_list more;                                                                                                          \
        va_start(more, command);                                                                                               \
        void *argument = va_arg(more, void *);                                                                                 \
        va_end(more);                                                                                                          \
        if (command == F_SETLK && ((struct flock *)argument)->l_type != F_UNLCK &&                                             \
            fails("lock", fd, NULL, __builtin_return_address(0)))                                                                     \
            return -1;                                                                                                         \
        return (int)syscall(SYS_fcntl, fd, command, argument);                                                                 \
    }
LOCKS(fcntl)
LOCKS(fcntl64)
