#include "shim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The oldest name, so that what is built on a newer system runs on an older one. */
#if defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#endif

void *system_next(const char *name)
{
  return dlsym(RTLD_NEXT, name);
}

void *system_symbol(const char *name)
{
  return dlsym(RTLD_DEFAULT, name);
}

/* System calls and not libc's functions: those are what we stand in front of. */

int system_open(const char *path, int flags, mode_t mode)
{
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int system_close(int descriptor)
{
  return (int)syscall(SYS_close, descriptor);
}

ssize_t system_pread(int descriptor, void *target, size_t length, off_t offset)
{
  return syscall(SYS_pread64, descriptor, target, length, offset);
}

ssize_t system_pwrite(int descriptor, const void *source, size_t length, off_t offset)
{
  return syscall(SYS_pwrite64, descriptor, source, length, offset);
}

/* The kernel takes the offset in two halves, of which a 64-bit machine has all in the first. */
ssize_t system_preadv(int descriptor, const struct iovec *vector, int count, off_t offset)
{
  return syscall(SYS_preadv, descriptor, vector, (long)count, offset, 0L);
}

ssize_t system_pwritev(int descriptor, const struct iovec *vector, int count, off_t offset)
{
  return syscall(SYS_pwritev, descriptor, vector, (long)count, offset, 0L);
}

ssize_t system_read(int descriptor, void *target, size_t length)
{
  return syscall(SYS_read, descriptor, target, length);
}

ssize_t system_write(int descriptor, const void *source, size_t length)
{
  return syscall(SYS_write, descriptor, source, length);
}

int system_ftruncate(int descriptor, off_t length)
{
  return (int)syscall(SYS_ftruncate, descriptor, length);
}

int system_unlink(const char *path)
{
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* With an empty path and AT_EMPTY_PATH of the descriptor itself. */
int system_stat(int directory, const char *path, struct stat *status, int flags)
{
  return (int)syscall(SYS_newfstatat, directory, path, status, flags);
}

static struct timespec time_of(long milliseconds)
{
  return (struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
}

void system_wait(uint32_t *word, uint32_t expected, long wait_ms)
{
  struct timespec timeout = time_of(wait_ms);
  /* However it ends, the caller looks again. */
  syscall(SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0);
}

void system_wake(uint32_t *word)
{
  syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void system_sleep(long sleep_ms)
{
  struct timespec time = time_of(sleep_ms);
  syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
}

void say(const char *text, const char *detail)
{
  char line[PATH_BYTES + 256];
  int saved = errno;
  int length = snprintf(line, sizeof line, "varve shim: %s%s%s\n", text, *detail ? ": " : "", detail);
  if (length > (int)sizeof line - 1) length = (int)sizeof line - 1;
  /* Where nobody listens to standard error, nothing else is left to say it to. */
  if (system_write(2, line, (size_t)length) < 0) errno = saved;
  errno = saved;
}

void say_once(const char *text, const char *detail)
{
  static bool was_said;
  if (was_said) return;
  was_said = true;
  say(text, detail);
}

int refuse(const char *text, const char *detail)
{
  say_once(text, detail);
  errno = EIO;
  return -1;
}
