/*
 * The functions of libc that stand in front of the real ones, under all names that servers are linked with. Each decides
 * whether a file is ours, and does nothing else.
 */
#include "shim.h"
#include "directories.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOOK __attribute__((visibility("default")))
#define ALSO(name) __attribute__((visibility("default"), alias(name)))

/* Opening and closing. */

static int open_any(int directory, const char *text, int flags, mode_t mode)
{
  struct path path;
  path_resolve(directory, text, &path);
  switch (path.kind) {
    case PATH_FILE:
      return file_open(&path, flags, mode);
    case PATH_CONTROL:
      return system_open(path.absolute, flags, mode);
    default: {
      int descriptor = (int)syscall(SYS_openat, directory, text, flags, mode);
      if (path.kind == PATH_WAL && descriptor >= 0 && descriptor < DESCRIPTORS_MAX)
        descriptors[descriptor].kind = DESCRIPTOR_WAL;
      return descriptor;
    }
  }
}

static mode_t mode_of(int flags, va_list arguments)
{
  bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return has_mode ? va_arg(arguments, mode_t) : 0;
}

HOOK int open(const char *path, int flags, ...)
{
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_any(AT_FDCWD, path, flags, mode);
}
ALSO("open") int open64(const char *path, int flags, ...);

HOOK int openat(int directory, const char *path, int flags, ...)
{
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_any(directory, path, flags, mode);
}
ALSO("openat") int openat64(int directory, const char *path, int flags, ...);

HOOK int __open_2(const char *path, int flags)
{
  return open_any(AT_FDCWD, path, flags, 0);
}
ALSO("__open_2") int __open64_2(const char *path, int flags);

HOOK int __openat_2(int directory, const char *path, int flags)
{
  return open_any(directory, path, flags, 0);
}
ALSO("__openat_2") int __openat64_2(int directory, const char *path, int flags);

HOOK int creat(const char *path, mode_t mode)
{
  return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
ALSO("creat") int creat64(const char *path, mode_t mode);

HOOK int close(int descriptor)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found != NULL) found->kind = DESCRIPTOR_OTHER;
  return system_close(descriptor);
}

static int duplicated(int from, int to)
{
  if (to < 0 || from == to) return to;
  struct descriptor *found = descriptor_of(from);
  if (to < DESCRIPTORS_MAX) {
    if (found != NULL) descriptors[to] = *found;
    else descriptors[to].kind = DESCRIPTOR_OTHER;
  } else if (found != NULL) {
    system_close(to);
    errno = EMFILE;
    return -1;
  }
  return to;
}

HOOK int dup(int descriptor)
{
  return duplicated(descriptor, (int)syscall(SYS_dup, descriptor));
}

HOOK int dup2(int descriptor, int wanted)
{
  if (descriptor == wanted) return fcntl(descriptor, F_GETFD) < 0 ? -1 : wanted;
  return duplicated(descriptor, (int)syscall(SYS_dup3, descriptor, wanted, 0));
}

HOOK int dup3(int descriptor, int wanted, int flags)
{
  return duplicated(descriptor, (int)syscall(SYS_dup3, descriptor, wanted, flags));
}

/* Reading. */

HOOK ssize_t pread(int descriptor, void *target, size_t length, off_t offset)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found == NULL || found->kind != DESCRIPTOR_LAZY) return system_pread(descriptor, target, length, offset);
  struct iovec vector = {.iov_base = target, .iov_len = length};
  return blocks_read(descriptor, &found->file, &vector, 1, offset);
}
ALSO("pread") ssize_t pread64(int descriptor, void *target, size_t length, off_t offset);

HOOK ssize_t __pread_chk(int descriptor, void *target, size_t length, off_t offset, size_t size)
{
  if (length > size) __builtin_trap();
  return pread(descriptor, target, length, offset);
}
ALSO("__pread_chk") ssize_t __pread64_chk(int descriptor, void *target, size_t length, off_t offset, size_t size);

HOOK ssize_t preadv(int descriptor, const struct iovec *vector, int count, off_t offset)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found == NULL || found->kind != DESCRIPTOR_LAZY) return system_preadv(descriptor, vector, count, offset);
  return blocks_read(descriptor, &found->file, vector, count, offset);
}
ALSO("preadv") ssize_t preadv64(int descriptor, const struct iovec *vector, int count, off_t offset);

/* From where the descriptor is, and on. */
static ssize_t read_here(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count)
{
  off_t offset = (off_t)syscall(SYS_lseek, descriptor, 0L, SEEK_CUR);
  if (offset < 0) return -1;
  ssize_t length = blocks_read(descriptor, file, vector, count, offset);
  if (length > 0) syscall(SYS_lseek, descriptor, offset + length, SEEK_SET);
  return length;
}

HOOK ssize_t read(int descriptor, void *target, size_t length)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found == NULL || found->kind != DESCRIPTOR_LAZY) return system_read(descriptor, target, length);
  struct iovec vector = {.iov_base = target, .iov_len = length};
  return read_here(descriptor, &found->file, &vector, 1);
}

HOOK ssize_t __read_chk(int descriptor, void *target, size_t length, size_t size)
{
  if (length > size) __builtin_trap();
  return read(descriptor, target, length);
}

HOOK ssize_t readv(int descriptor, const struct iovec *vector, int count)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found == NULL || found->kind != DESCRIPTOR_LAZY) return syscall(SYS_readv, descriptor, vector, (long)count);
  return read_here(descriptor, &found->file, vector, count);
}

/* Writing. */

static size_t length_of(const struct iovec *vector, int count)
{
  size_t length = 0;
  for (int index = 0; index < count; index++) length += vector[index].iov_len;
  return length;
}

/* What was written takes room. */
static ssize_t counted(ssize_t written)
{
  if (written > 0) shared_count((uint64_t)written);
  return written;
}

static ssize_t write_any(int descriptor, struct descriptor *found, const struct iovec *vector, int count, off_t offset)
{
  if (found != NULL && found->kind == DESCRIPTOR_LAZY)
    return counted(blocks_write(descriptor, &found->file, vector, count, offset));
  if (found != NULL) life_hold_wal(length_of(vector, count));
  return counted(system_pwritev(descriptor, vector, count, offset));
}

HOOK ssize_t pwrite(int descriptor, const void *source, size_t length, off_t offset)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found == NULL) return counted(system_pwrite(descriptor, source, length, offset));
  struct iovec vector = {.iov_base = (void *)source, .iov_len = length};
  return write_any(descriptor, found, &vector, 1, offset);
}
ALSO("pwrite") ssize_t pwrite64(int descriptor, const void *source, size_t length, off_t offset);

HOOK ssize_t pwritev(int descriptor, const struct iovec *vector, int count, off_t offset)
{
  return write_any(descriptor, descriptor_of(descriptor), vector, count, offset);
}
ALSO("pwritev") ssize_t pwritev64(int descriptor, const struct iovec *vector, int count, off_t offset);

static ssize_t write_here(int descriptor, const struct iovec *vector, int count)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found != NULL && found->kind == DESCRIPTOR_LAZY) {
    int flags = fcntl(descriptor, F_GETFL);
    off_t offset = (off_t)syscall(SYS_lseek, descriptor, 0L, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    if (offset < 0) return -1;
    /* copydir.c copies files so, and their pages have LSNs from before the record that makes the copy. */
    blocks_keep(&found->file);
    ssize_t written = counted(blocks_write(descriptor, &found->file, vector, count, offset));
    if (written > 0) syscall(SYS_lseek, descriptor, offset + written, SEEK_SET);
    return written;
  }
  if (found != NULL) life_hold_wal(length_of(vector, count));
  return syscall(SYS_writev, descriptor, vector, (long)count);
}

HOOK ssize_t write(int descriptor, const void *source, size_t length)
{
  if (descriptor_of(descriptor) == NULL) return system_write(descriptor, source, length);
  struct iovec vector = {.iov_base = (void *)source, .iov_len = length};
  return write_here(descriptor, &vector, 1);
}

HOOK ssize_t writev(int descriptor, const struct iovec *vector, int count)
{
  return write_here(descriptor, vector, count);
}

/* Cutting and removing. */

struct cutting {
  int descriptor;
  off_t length;
};

static int cut_descriptor(void *argument)
{
  const struct cutting *cutting = argument;
  return system_ftruncate(cutting->descriptor, cutting->length);
}

HOOK int ftruncate(int descriptor, off_t length)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found == NULL || found->kind != DESCRIPTOR_LAZY) return system_ftruncate(descriptor, length);
  struct cutting cutting = {descriptor, length};
  return blocks_cut(&found->file, descriptor, length, cut_descriptor, &cutting);
}
ALSO("ftruncate") int ftruncate64(int descriptor, off_t length);

HOOK int truncate(const char *text, off_t length)
{
  struct path path;
  path_resolve(AT_FDCWD, text, &path);
  if (path.kind == PATH_FILE) return file_truncate(&path, length);
  return (int)syscall(SYS_truncate, path.kind == PATH_CONTROL ? path.absolute : text, length);
}
ALSO("truncate") int truncate64(const char *text, off_t length);

static int unlink_any(int directory, const char *text, int flags)
{
  struct path path;
  path_resolve(directory, text, &path);
  if (path.kind == PATH_FILE && !(flags & AT_REMOVEDIR)) return file_unlink(&path);
  return (int)syscall(SYS_unlinkat, directory, text, flags);
}

HOOK int unlink(const char *path)
{
  return unlink_any(AT_FDCWD, path, 0);
}

HOOK int unlinkat(int directory, const char *path, int flags)
{
  return unlink_any(directory, path, flags);
}

/* No server gives another name to a file that is in the list; what then became of it, the list could not say. */
static bool is_bound(int directory, const char *text)
{
  struct path path;
  struct list_entry entry;
  path_resolve(directory, text, &path);
  if (path.kind != PATH_FILE) return false;
  if (grown_find(&path.key) != NULL) return true;
  int found = list_find(&path.key, &entry);
  if (found <= 0) return found < 0;
  return __atomic_load_n(&shared_state(entry.number)->word, __ATOMIC_SEQ_CST) != FILE_PLAIN;
}

static int refuse_name(const char *text)
{
  say_once("a file that is not whole keeps its name", text);
  errno = EPERM;
  return -1;
}

static int rename_any(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
  if (is_bound(from_directory, from) || is_bound(to_directory, to)) return refuse_name(from);
  return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
}

HOOK int rename(const char *from, const char *to)
{
  return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0);
}

HOOK int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
  return rename_any(from_directory, from, to_directory, to, 0);
}

HOOK int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
  return rename_any(from_directory, from, to_directory, to, flags);
}

HOOK int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
  if (is_bound(from_directory, from) || is_bound(to_directory, to)) return refuse_name(from);
  return (int)syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
}

HOOK int link(const char *from, const char *to)
{
  return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* What only looks. */

/* A database's directory is laid out before the server starts; in a tablespace it is there as soon as the list is whole. */
static int wait_for_directory(const struct path *path)
{
  const struct list_entry *first;
  size_t count;
  bool is_laid_out = path->key.tablespace == DEFAULT_TABLESPACE || path->key.tablespace == GLOBAL_TABLESPACE;
  if (shim_is_root_process || is_laid_out) return 0;
  return list_range(path->key.tablespace, path->key.database, &first, &count);
}

static int prepare_to_look(const struct path *path)
{
  if (path->kind == PATH_FILE) return file_make(path);
  return path->kind == PATH_DIRECTORY ? wait_for_directory(path) : 0;
}

static int stat_any(int directory, const char *text, struct stat *status, int flags)
{
  struct path path;
  path_resolve(directory, text, &path);
  if (prepare_to_look(&path) < 0) return -1;
  if (path.kind == PATH_CONTROL) return system_stat(AT_FDCWD, path.absolute, status, flags);
  return system_stat(directory, text, status, flags);
}

HOOK int stat(const char *path, struct stat *status)
{
  return stat_any(AT_FDCWD, path, status, 0);
}
ALSO("stat") int stat64(const char *path, struct stat64 *status);

HOOK int lstat(const char *path, struct stat *status)
{
  return stat_any(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
ALSO("lstat") int lstat64(const char *path, struct stat64 *status);

HOOK int fstatat(int directory, const char *path, struct stat *status, int flags)
{
  return stat_any(directory, path, status, flags);
}
ALSO("fstatat") int fstatat64(int directory, const char *path, struct stat64 *status, int flags);

/* Of servers that were linked before glibc 2.33; the version is the kernel's own form. */
HOOK int __xstat(int version, const char *path, struct stat *status)
{
  (void)version;
  return stat_any(AT_FDCWD, path, status, 0);
}
ALSO("__xstat") int __xstat64(int version, const char *path, struct stat64 *status);

HOOK int __lxstat(int version, const char *path, struct stat *status)
{
  (void)version;
  return stat_any(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
ALSO("__lxstat") int __lxstat64(int version, const char *path, struct stat64 *status);

HOOK int __fxstatat(int version, int directory, const char *path, struct stat *status, int flags)
{
  (void)version;
  return stat_any(directory, path, status, flags);
}
ALSO("__fxstatat") int __fxstatat64(int version, int directory, const char *path, struct stat64 *status, int flags);

HOOK int statx(int directory, const char *restrict text, int flags, unsigned mask, struct statx *restrict status)
{
  struct path path;
  path_resolve(directory, text, &path);
  if (prepare_to_look(&path) < 0) return -1;
  if (path.kind == PATH_CONTROL) return (int)syscall(SYS_statx, AT_FDCWD, path.absolute, flags, mask, status);
  return (int)syscall(SYS_statx, directory, text, flags, mask, status);
}

static int access_any(int directory, const char *text, int mode, int flags)
{
  struct path path;
  path_resolve(directory, text, &path);
  if (path.kind == PATH_FILE) {
    int is_pending = file_is_pending(&path);
    if (is_pending != 0) return is_pending < 0 ? -1 : 0;
  }
  if (path.kind == PATH_DIRECTORY && wait_for_directory(&path) < 0) return -1;
  if (path.kind == PATH_CONTROL) text = path.absolute;
  if (flags == 0) return (int)syscall(SYS_faccessat, directory, text, mode);
  return (int)syscall(SYS_faccessat2, directory, text, mode, flags);
}

HOOK int access(const char *path, int mode)
{
  return access_any(AT_FDCWD, path, mode, 0);
}

HOOK int faccessat(int directory, const char *path, int mode, int flags)
{
  return access_any(directory, path, mode, flags);
}

HOOK int posix_fadvise(int descriptor, off_t offset, off_t length, int advice)
{
  struct descriptor *found = descriptor_of(descriptor);
  if (found != NULL && found->kind == DESCRIPTOR_LAZY && advice == POSIX_FADV_WILLNEED)
    blocks_prefetch(&found->file, offset, length);
  /* It gives its error, and leaves errno alone. */
  int problem = errno;
  int result = syscall(SYS_fadvise64, descriptor, offset, length, advice) < 0 ? errno : 0;
  errno = problem;
  return result;
}
ALSO("posix_fadvise") int posix_fadvise64(int descriptor, off_t offset, off_t length, int advice);

HOOK FILE *fopen(const char *text, const char *mode)
{
  static FILE *(*real_fopen)(const char *, const char *);
  struct path path;
  if (real_fopen == NULL) *(void **)&real_fopen = system_next("fopen");
  path_resolve(AT_FDCWD, text, &path);
  if (path.kind == PATH_CONTROL) return real_fopen(path.absolute, mode);
  /* The stream reads past us. */
  if (path.kind == PATH_FILE && file_fill(&path) < 0) return NULL;
  return real_fopen(text, mode);
}
ALSO("fopen") FILE *fopen64(const char *text, const char *mode);

HOOK DIR *opendir(const char *path)
{
  return directory_open(path);
}

HOOK struct dirent *readdir(DIR *directory)
{
  return directory_read(directory);
}
ALSO("readdir") struct dirent64 *readdir64(DIR *directory);

HOOK int closedir(DIR *directory)
{
  return directory_close(directory);
}

HOOK void rewinddir(DIR *directory)
{
  directory_rewind(directory);
}

HOOK int chdir(const char *path)
{
  path_forget_directory();
  return (int)syscall(SYS_chdir, path);
}

HOOK int fchdir(int descriptor)
{
  path_forget_directory();
  return (int)syscall(SYS_fchdir, descriptor);
}

/* What would copy past us. Callers have a way without them. */

HOOK ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length, unsigned flags)
{
  (void)from, (void)from_offset, (void)to, (void)to_offset, (void)length, (void)flags;
  errno = ENOSYS;
  return -1;
}

HOOK ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
  struct descriptor *found = descriptor_of(from);
  if (found != NULL && found->kind == DESCRIPTOR_LAZY) {
    errno = EINVAL;
    return -1;
  }
  return syscall(SYS_sendfile, to, from, offset, count);
}
ALSO("sendfile") ssize_t sendfile64(int to, int from, off64_t *offset, size_t count);
