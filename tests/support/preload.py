"""Shared libraries that stand before the system's own functions in a program under test (LD_PRELOAD)."""

import shutil
import subprocess


def supported():
    return shutil.which("cc") is not None


def library(folder, name, source):
    """Compiles C and gives what to add to the environment of the program."""
    path = folder / f"{name}.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-x", "c", "-", "-o", path, "-ldl"], input=source, text=True,
                   check=True, capture_output=True)
    # A sanitizer's own library wants to be the first; it does its work behind this one too.
    return {"LD_PRELOAD": str(path), "ASAN_OPTIONS": "verify_asan_link_order=0"}


def slow_lookup(folder, seconds):
    """Every look-up of a host's name takes so long, and then finds nothing."""
    return library(folder, "slow_lookup", f"""
#include <netdb.h>
#include <time.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {{
    struct timespec wait = {{ {seconds}, 0 }};
    while (nanosleep(&wait, &wait) != 0) {{}}
    return EAI_NONAME;
}}
""")


def other_clock(folder, seconds):
    """This machine's clock is so far off; what measures durations is not."""
    return library(folder, f"clock{seconds}", f"""
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {{
    const int result = (int)syscall(SYS_clock_gettime, id, at);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += {seconds};
    return result;
}}
time_t time(time_t *at) {{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}}
int gettimeofday(struct timeval *at, void *zone) {{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}}
""")


def copying(folder, log):
    """A file system without symbolic links; which files are synced is written to `log`, a line each."""
    return library(folder, "copying", f"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int symlink(const char *target, const char *path) {{
    errno = EPERM;
    return -1;
}}
int fsync(int fd) {{
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(name, path, sizeof path - 1);
    if (length > 0) {{
        path[length] = '\\n';
        const int log = open("{log}", O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (write(log, path, length + 1) < 0) return -1;
        close(log);
    }}
    return (int)syscall(SYS_fsync, fd);
}}
""")


def at_rename(folder, part_of_target, statement):
    """What a rename to a path with `part_of_target` does first, in C: end the process, or fail."""
    return library(folder, "at_rename", f"""
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
int rename(const char *from, const char *to) {{
    if (strstr(to, "{part_of_target}")) {{ {statement} }}
    int (*real)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    return real(from, to);
}}
""")


def few_threads(folder, most):
    """The system gives no more threads than so many."""
    return library(folder, f"threads{most}", f"""
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument) {{
    static atomic_int count;
    if (atomic_fetch_add(&count, 1) >= {most}) return EAGAIN;
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, how, start, argument);
}}
""")
