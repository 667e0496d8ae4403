/* What the parts of the shim know of each other. */
#ifndef VARVE_SHIM_H
#define VARVE_SHIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "format.h"

#define PATH_BYTES 4096

/* system.c: the operating system, past our own hooks. */
/* The real function behind our own of that name. */
void *system_next(const char *name);
/* What the program has of that name, if it shows it. */
void *system_symbol(const char *name);
int system_open(const char *path, int flags, mode_t mode);
int system_close(int descriptor);
ssize_t system_pread(int descriptor, void *target, size_t length, off_t offset);
ssize_t system_pwrite(int descriptor, const void *source, size_t length, off_t offset);
ssize_t system_preadv(int descriptor, const struct iovec *vector, int count, off_t offset);
ssize_t system_pwritev(int descriptor, const struct iovec *vector, int count, off_t offset);
ssize_t system_read(int descriptor, void *target, size_t length);
ssize_t system_write(int descriptor, const void *source, size_t length);
int system_ftruncate(int descriptor, off_t length);
int system_unlink(const char *path);
struct stat;
int system_stat(int directory, const char *path, struct stat *status, int flags);
void system_wait(uint32_t *word, uint32_t expected, long wait_ms);
void system_wake(uint32_t *word);
void system_sleep(long sleep_ms);
/* One line on standard error. The second form at most once in a process. */
void say(const char *text, const char *detail);
void say_once(const char *text, const char *detail);
/* Says it once, sets errno to EIO, and gives -1. */
int refuse(const char *text, const char *detail);

/* shared.c: the shared file and the list. */
struct settings {
  char directory[PATH_BYTES];
  char data_directory[PATH_BYTES];
};
extern struct settings settings;
/* Whether there is a lazy directory at all. */
extern bool shim_is_active;
/* The process that the agent has started, and no fork of it. */
extern bool shim_is_root_process;
/* -1 with errno, and nothing said, where it is not as it must be; then no file can be found. */
int shared_map(const char **problem);
struct shared_header *shared_header(void);
struct file_state *shared_state(uint32_t number);
uint32_t *shared_words(const struct list_entry *entry);
uint64_t *shared_owner(uint32_t pid);
struct grown_table *shared_grown_table(void);
struct grown *shared_grown(uint32_t index);
uint32_t *shared_grown_words(uint32_t index);
/* Whether blocks may be given back. */
bool shared_gives_back(void);
/* Tells the evictor of what takes room. */
void shared_count(uint64_t bytes);
/* Maps the list if it is whole. */
void list_try_map(void);
/* 1 found, 0 not in the list, -1 with errno. Waits for the list to come as far as the key. */
int list_find(const struct file_key *key, struct list_entry *found);
/* All entries of a database in a tablespace. Waits for the whole list. */
int list_range(uint32_t tablespace, uint32_t database, const struct list_entry **first, size_t *count);

/* paths.c: which paths are ours. */
enum path_kind {
  PATH_OTHER,
  PATH_FILE,      /* has a key */
  PATH_DIRECTORY, /* of a database: the key has its tablespace and database */
  PATH_WAL,
  PATH_CONTROL,
};
struct path {
  enum path_kind kind;
  struct file_key key;
  /* Of PATH_FILE, PATH_DIRECTORY and PATH_CONTROL: in the data directory, absolute. */
  char absolute[PATH_BYTES];
};
void path_resolve(int directory, const char *text, struct path *path);
/* A file name in a database's directory: sets relation and part. */
bool path_parse_name(const char *name, struct file_key *key);
void path_format_name(const struct file_key *key, char *name, size_t size);
void path_forget_directory(void);

/* owners.c: who changes a word. */
uint32_t owner_word(void);
bool owner_is_dead(uint32_t word);
void owner_forget(void);
/*
 * Waits until a word of a file is not `seen` any more, for a while. True: whoever owns it is dead, and the word may be
 * taken from it.
 */
bool owner_wait(struct file_state *state, uint32_t *word, uint32_t seen);
/* Tells those who wait for words of this file. */
void owner_wake(struct file_state *state);

/* interrupts.c: what the server wants of this process. */
void interrupts_find(void);
bool interrupts_are_pending(void);

/* agent.c: the connection to the agent. All give -1 with EIO where there is no agent. */
int agent_hello(const char **problem);
int agent_find(const struct file_key *key, struct list_entry *found);
int agent_wait_for_list(void);
int agent_read(uint32_t number, uint32_t block, uint32_t count, void *target);
void agent_prefetch(uint32_t number, uint32_t block, uint32_t count);
/* Of blocks that were given back, by the file's key. `ahead`: how many behind them may be wanted next. */
int agent_read_again(const struct file_key *key, uint32_t block, uint32_t count, uint32_t ahead, void *target);
void agent_prefetch_again(const struct file_key *key, uint32_t block, uint32_t count);
int agent_give(uint32_t used_kib, uint32_t given_kib, uint32_t flags, struct permission *permission);
bool agent_is_alive(void);
void agent_forget(void);

/* grown.c: words of what had none at the start. */
/* NULL: there is none, and nothing of such a file is given back. */
struct grown *grown_find(const struct file_key *key);
/* As grown_find, but makes it. NULL where that cannot be: then nobody makes it any more. */
struct grown *grown_make(const struct file_key *key);
uint32_t *grown_words(const struct grown *grown);
/* The file is gone. */
void grown_free(struct grown *grown);

/* blocks.c, writes.c, cuts.c: the blocks of one file. */
struct lazy_file {
  struct file_state *state;
  /* Of blocks below `blocks`. */
  uint32_t *words;
  /* NULL where blocks are never given back; else its words are those of blocks from `blocks` on. */
  struct grown *grown;
  uint32_t *grown_words;
  struct file_key key;
  uint32_t number;
  /* As of the start. */
  uint32_t blocks;
  /* With a block come those around it, from a multiple of so many on. */
  uint32_t around_blocks;
  bool is_slru;
};
/* Brings what is absent of the bytes. `descriptor` can write. */
int blocks_ensure(int descriptor, const struct lazy_file *file, off_t offset, size_t length);
ssize_t blocks_read(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count, off_t offset);
ssize_t blocks_write(int descriptor, const struct lazy_file *file, const struct iovec *vector, int count, off_t offset);
/* Runs an operation after which nothing of the file from `length` on is in storage any more. */
int blocks_cut(const struct lazy_file *file, int descriptor, off_t length, int (*operation)(void *), void *argument);
void blocks_prefetch(const struct lazy_file *file, off_t offset, off_t length);
/* From now on nothing of it is given back. */
void blocks_keep(const struct lazy_file *file);

/* give.c: blocks that go back. */
struct giving {
  /* Pages with LSNs from FLOOR up to here may go. */
  uint64_t lsn;
  /* Blocks that are wanted back, and that are. */
  uint64_t wanted;
  uint64_t given;
  /* Blocks that could have gone but for their LSN. */
  uint64_t behind;
};
/* Goes over blocks from `first` on, as long as more is wanted. Gives the block behind the last that it has looked at. */
uint32_t give_file(int descriptor, const struct path *path, const struct lazy_file *file, uint32_t first,
                   struct giving *giving);

/* evictor.c: the process that gives back, and nothing else. */
void evictor_run(void) __attribute__((noreturn));

/* files.c: files of the list, by path and by descriptor. */
enum descriptor_kind { DESCRIPTOR_OTHER, DESCRIPTOR_LAZY, DESCRIPTOR_WAL };
#define DESCRIPTORS_MAX 65536
struct descriptor {
  enum descriptor_kind kind;
  struct lazy_file file;
};
extern struct descriptor descriptors[DESCRIPTORS_MAX];
static inline struct descriptor *descriptor_of(int descriptor)
{
  if ((unsigned)descriptor >= DESCRIPTORS_MAX) return NULL;
  struct descriptor *found = &descriptors[descriptor];
  return found->kind == DESCRIPTOR_OTHER ? NULL : found;
}
int file_open(const struct path *path, int flags, mode_t mode);
/* As of an open file that is not pending. False: nothing of it is given back. */
bool file_giving(const struct path *path, struct lazy_file *file);
/* Makes it in the file system if it is in the list and not there yet. 0, or -1 with errno. */
int file_make(const struct path *path);
/* Brings all of it. */
int file_fill(const struct path *path);
/* Whether it is in storage only. -1 with errno. */
int file_is_pending(const struct path *path);
int file_unlink(const struct path *path);
int file_truncate(const struct path *path, off_t length);

/* life.c */
/* Before so many bytes of WAL are written. */
void life_hold_wal(size_t length);

#endif
