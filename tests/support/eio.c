/* LD_PRELOAD: reads of one file fail with EIO, from the nth on or only the nth. Armed by the process itself: eio_arm("state.db", 3, 1). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char wanted[256];
static int from, forever, count;

void eio_arm(const char *name, int number, int for_ever) {
    snprintf(wanted, sizeof wanted, "/%s", name);
    from = number;
    forever = for_ever;
    count = 0;
}

int eio_count(void) { return count; }

static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = wanted[0] ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    size_t tail = strlen(wanted);
    if ((size_t)length < tail || strcmp(path + length - tail, wanted)) return 0;
    count++;
    if (count == from || (forever && from && count > from)) {
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t read(int fd, void *buffer, size_t size) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    return fails(fd) ? -1 : real(fd, buffer, size);
}

ssize_t pread(int fd, void *buffer, size_t size, off_t at) {
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pread");
    return fails(fd) ? -1 : real(fd, buffer, size, at);
}

ssize_t pread64(int fd, void *buffer, size_t size, off_t at) { return pread(fd, buffer, size, at); }
