#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * The evictor: a process of its own that measures what the local directory takes, asks the agent how much it may give back,
 * and sweeps over the files like the hand of a clock: what was used since it passed it passes over once. It dies with the
 * agent.
 */

#define LOOK_MS 1000
#define PRESSED_LOOK_MS 100
/* Looking takes no more than this part of the time. */
#define LOOK_PART 20
#define DEPTH_MAX 8
#define HOLE_FILE "hole"

/* A file of which blocks may go. Where its path is in `names`. */
struct candidate {
  struct file_key key;
  size_t name;
};

static struct candidate *candidates;
static size_t candidate_count, candidate_room;
static char *names;
static size_t names_length, names_room;
/* Where the last sweep has ended. */
static struct file_key hand;
static uint32_t hand_block;

static void *grow(void *memory, size_t *room, size_t wanted, size_t size)
{
  if (wanted <= *room) return memory;
  *room = wanted * 2;
  memory = realloc(memory, *room * size);
  if (memory == NULL) {
    say("the evictor has no memory", "");
    _exit(1);
  }
  return memory;
}

static void note_candidate(const struct path *path)
{
  size_t length = strlen(path->absolute) + 1;
  candidates = grow(candidates, &candidate_room, candidate_count + 1, sizeof *candidates);
  names = grow(names, &names_room, names_length + length, 1);
  memcpy(names + names_length, path->absolute, length);
  candidates[candidate_count++] = (struct candidate){path->key, names_length};
  names_length += length;
}

/* linux/dirent.h */
struct raw_entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

static uint64_t measure(const char *directory, int depth);

static uint64_t measure_entry(const char *directory, const char *name, int depth)
{
  struct stat status;
  struct path path;
  char whole[PATH_BYTES];
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return 0;
  if (snprintf(whole, sizeof whole, "%s/%s", directory, name) >= (int)sizeof whole) return 0;
  /* It may be gone by now. */
  if (system_stat(AT_FDCWD, whole, &status, 0) < 0) return 0;
  uint64_t bytes = (uint64_t)status.st_blocks * 512;
  if (S_ISDIR(status.st_mode)) return bytes + (depth < DEPTH_MAX ? measure(whole, depth + 1) : 0);
  if (!S_ISREG(status.st_mode) || bytes == 0) return bytes;
  path_resolve(AT_FDCWD, whole, &path);
  bool is_main = path.kind == PATH_FILE && path.key.tablespace != 0 && path.key.part >> FORK_SHIFT == FORK_MAIN;
  if (is_main) note_candidate(&path);
  return bytes;
}

/* Bytes that a directory takes with all below it. Symbolic links lead to tablespaces. */
static uint64_t measure(const char *directory, int depth)
{
  uint8_t entries[16384] __attribute__((aligned(8)));
  uint64_t bytes = 0;
  int descriptor = system_open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (descriptor < 0) return 0;
  for (;;) {
    long length = syscall(SYS_getdents64, descriptor, entries, sizeof entries);
    if (length <= 0) break;
    for (long at = 0; at < length;) {
      const struct raw_entry *entry = (const struct raw_entry *)(entries + at);
      bytes += measure_entry(directory, entry->name, depth);
      at += entry->length;
    }
  }
  system_close(descriptor);
  return bytes;
}

static uint64_t measure_all(void)
{
  candidate_count = 0;
  names_length = 0;
  return measure(settings.data_directory, 0) + measure(settings.directory, 0);
}

static bool try_hole(void)
{
  char path[PATH_BYTES + 16];
  uint8_t block[BLOCK_BYTES] = {1};
  snprintf(path, sizeof path, "%s/%s", settings.directory, HOLE_FILE);
  int descriptor = system_open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return false;
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  bool has_holes = system_pwrite(descriptor, block, sizeof block, 0) == sizeof block &&
                   syscall(SYS_fallocate, descriptor, mode, (off_t)0, (off_t)BLOCK_BYTES) == 0;
  system_close(descriptor);
  system_unlink(path);
  return has_holes;
}

static void sweep_file(const struct candidate *candidate, uint32_t first, struct giving *giving)
{
  struct lazy_file file;
  struct path path = {.kind = PATH_FILE, .key = candidate->key};
  strcpy(path.absolute, names + candidate->name);
  hand = candidate->key;
  hand_block = 0;
  if (!file_giving(&path, &file)) return;
  int descriptor = system_open(path.absolute, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return;
  hand_block = give_file(descriptor, &path, &file, first, giving);
  system_close(descriptor);
}

/* Goes round until enough was given back; at most twice, since what was used stays for one round. */
static void sweep(struct giving *giving)
{
  size_t start = 0;
  while (start < candidate_count && memcmp(&candidates[start].key, &hand, sizeof hand) != 0) start++;
  if (start == candidate_count) {
    start = 0;
    hand_block = 0;
  }
  for (size_t turn = 0; turn < 2 * candidate_count + 1 && giving->given < giving->wanted; turn++)
    sweep_file(&candidates[(start + turn) % candidate_count], turn == 0 ? hand_block : 0, giving);
}

static uint64_t now_ms(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* Until so much was added that it matters, or something was and a while has gone by. */
static void rest(uint64_t looked_ms, const struct permission *permission, uint64_t seen_bytes)
{
  struct shared_header *header = shared_header();
  uint64_t began_ms = now_ms();
  uint64_t wait_ms = permission->is_pressed ? PRESSED_LOOK_MS : LOOK_MS;
  __atomic_store_n(&header->wake_at_bytes, seen_bytes + (uint64_t)permission->wake_kib * 1024, __ATOMIC_SEQ_CST);
  system_sleep((long)(looked_ms * LOOK_PART < 900 ? looked_ms * LOOK_PART + 1 : 900));
  for (;;) {
    uint32_t event = __atomic_load_n(&header->wake_event, __ATOMIC_SEQ_CST);
    uint64_t added = __atomic_load_n(&header->added_bytes, __ATOMIC_SEQ_CST);
    uint64_t rested_ms = now_ms() - began_ms;
    bool is_due = rested_ms >= wait_ms && rested_ms >= looked_ms * LOOK_PART;
    if (is_due && (permission->is_pressed || added != seen_bytes)) return;
    if (added - seen_bytes >= (uint64_t)permission->wake_kib * 1024 && rested_ms >= looked_ms * LOOK_PART) return;
    system_wait(&header->wake_event, event, rested_ms < wait_ms ? (long)(wait_ms - rested_ms) : LOOK_MS);
  }
}

void evictor_run(void)
{
  struct permission permission = {0};
  uint32_t flags = try_hole() ? 0 : GIVE_NO_HOLES;
  uint64_t given_bytes = 0;
  for (;;) {
    uint64_t seen_bytes = __atomic_load_n(&shared_header()->added_bytes, __ATOMIC_SEQ_CST);
    uint64_t began_ms = now_ms();
    uint64_t used_bytes = measure_all();
    uint64_t looked_ms = now_ms() - began_ms;
    if (agent_give((uint32_t)(used_bytes / 1024), (uint32_t)(given_bytes / 1024), flags, &permission) < 0) _exit(1);
    struct giving giving = {.lsn = (uint64_t)permission.lsn_high << 32 | permission.lsn_low,
                            .wanted = permission.give_kib / (BLOCK_BYTES / 1024)};
    if (candidate_count > 0) sweep(&giving);
    given_bytes = giving.given * BLOCK_BYTES;
    flags &= GIVE_NO_HOLES;
    if (giving.given < giving.wanted) flags |= GIVE_SHORT | (giving.behind > 0 ? GIVE_BEHIND : 0);
    rest(looked_ms, &permission, seen_bytes);
  }
}
