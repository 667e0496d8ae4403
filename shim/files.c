#include "shim.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct descriptor descriptors[DESCRIPTORS_MAX];

/* Of a file that is in no list. */
#define NO_NUMBER UINT32_MAX

/* As the list has it, and what it has grown by. `makes`: no process is to have it open without knowing of that. */
static struct lazy_file lazy_file_of(const struct list_entry *entry, bool makes)
{
  const struct file_key *key = &entry->key;
  bool is_listed = entry->number != NO_NUMBER;
  struct lazy_file file = {.state = is_listed ? shared_state(entry->number) : NULL,
                           .words = is_listed ? shared_words(entry) : NULL,
                           .key = *key,
                           .number = entry->number,
                           .blocks = is_listed ? entry->blocks : 0,
                           .around_blocks = is_listed ? entry->content >> CONTENT_AROUND_SHIFT : 0,
                           .is_slru = key->tablespace == 0};
  bool may_give = key->tablespace != 0 && key->part >> FORK_SHIFT == FORK_MAIN;
  if (is_listed && (entry->content & CONTENT_FORK_MASK) != FORK_MAIN) may_give = false;
  if (may_give) file.grown = makes ? grown_make(key) : grown_find(key);
  if (file.grown != NULL) file.grown_words = grown_words(file.grown);
  if (file.state == NULL && file.grown != NULL) file.state = &file.grown->state;
  return file;
}

static void set_state(struct file_state *state, uint32_t value)
{
  __atomic_store_n(&state->word, value, __ATOMIC_SEQ_CST);
  owner_wake(state);
}

/*
 * What has become of a file, as soon as nobody is about to change it: FILE_LAZY, FILE_PLAIN, or -1 with errno. FILE_PENDING:
 * this process owns it now, and has to set another state. `is_left_over`: who owned it before has died, and may have made
 * the file.
 */
static int settle(struct file_state *state, bool *is_left_over)
{
  uint32_t owner = owner_word();
  if (owner == 0) return refuse("this process cannot be told from others", "/proc is missing");
  for (;;) {
    uint32_t word = __atomic_load_n(&state->word, __ATOMIC_SEQ_CST);
    if (word == FILE_LAZY || word == FILE_PLAIN) return (int)word;
    bool is_dead = false;
    if (word != FILE_PENDING) {
      if (!(word & WORD_OWNED) || word == owner) return refuse("a file is in no state that is known", settings.directory);
      is_dead = owner_wait(state, &state->word, word);
      if (!is_dead) continue;
    }
    if (!__atomic_compare_exchange_n(&state->word, &word, owner, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) continue;
    *is_left_over = is_dead;
    return FILE_PENDING;
  }
}

/* Makes a file of holes that this process owns. */
static int create(const struct path *path, const struct list_entry *entry, bool is_left_over)
{
  mode_t mode = (mode_t)shared_header()->file_mode;
  if (is_left_over && system_unlink(path->absolute) < 0 && errno != ENOENT) return -1;
  int descriptor = system_open(path->absolute, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) {
    if (errno == EEXIST) return refuse("a file is there that nobody has made", path->absolute);
    return -1;
  }
  int result = system_ftruncate(descriptor, (off_t)entry->blocks * BLOCK_BYTES);
  int problem = errno;
  if (result < 0) system_unlink(path->absolute);
  system_close(descriptor);
  errno = problem;
  return result;
}

static int create_owned(const struct path *path, const struct list_entry *entry, bool is_left_over)
{
  int result = create(path, entry, is_left_over);
  int problem = errno;
  uint32_t made = entry->blocks > 0 ? FILE_LAZY : FILE_PLAIN;
  set_state(shared_state(entry->number), result == 0 ? made : FILE_PENDING);
  errno = problem;
  return result == 0 ? (int)made : -1;
}

/* FILE_LAZY with its entry; FILE_PLAIN where the file system alone knows, with one of no blocks; -1 with errno. */
static int find_made(const struct path *path, struct list_entry *entry)
{
  bool is_left_over = false;
  int found = list_find(&path->key, entry);
  if (found < 0) return -1;
  if (found == 0) {
    *entry = (struct list_entry){.key = path->key, .number = NO_NUMBER};
    return FILE_PLAIN;
  }
  int state = settle(shared_state(entry->number), &is_left_over);
  if (state == FILE_PENDING) state = create_owned(path, entry, is_left_over);
  if (state == FILE_PLAIN) entry->blocks = 0;
  return state;
}

int file_make(const struct path *path)
{
  struct list_entry entry;
  return find_made(path, &entry) < 0 ? -1 : 0;
}

int file_open(const struct path *path, int flags, mode_t mode)
{
  struct list_entry entry;
  if (flags & O_TRUNC) {
    if (!(flags & O_EXCL) && file_truncate(path, 0) < 0 && errno != ENOENT) return -1;
    flags &= ~O_TRUNC;
  }
  int state = find_made(path, &entry);
  if (state < 0) return -1;
  bool has_data = !(flags & (O_PATH | O_DIRECTORY));
  if (state == FILE_PLAIN && (!has_data || !shared_gives_back())) return system_open(path->absolute, flags, mode);
  /* Whoever reads has to be able to put in what it reads. */
  if (has_data) flags = (flags & ~O_ACCMODE) | O_RDWR;
  int descriptor = system_open(path->absolute, flags, mode);
  if (descriptor < 0 || !has_data) return descriptor;
  struct lazy_file file = lazy_file_of(&entry, true);
  if (state == FILE_PLAIN && file.grown == NULL) return descriptor;
  if (descriptor >= DESCRIPTORS_MAX) {
    system_close(descriptor);
    errno = EMFILE;
    return -1;
  }
  descriptors[descriptor] = (struct descriptor){.kind = DESCRIPTOR_LAZY, .file = file};
  return descriptor;
}

bool file_giving(const struct path *path, struct lazy_file *file)
{
  struct list_entry entry;
  int found = list_find(&path->key, &entry);
  if (found < 0) return false;
  if (found == 0) {
    entry = (struct list_entry){.key = path->key, .number = NO_NUMBER};
  } else {
    uint32_t word = __atomic_load_n(&shared_state(entry.number)->word, __ATOMIC_SEQ_CST);
    if (word != FILE_LAZY && word != FILE_PLAIN) return false;
    if (word == FILE_PLAIN) entry.blocks = 0;
  }
  *file = lazy_file_of(&entry, false);
  return file->grown != NULL;
}

static int fill_file(int descriptor, const struct lazy_file *file)
{
  off_t length = (off_t)syscall(SYS_lseek, descriptor, 0L, SEEK_END);
  return length < 0 ? -1 : blocks_ensure(descriptor, file, 0, (size_t)length);
}

int file_fill(const struct path *path)
{
  struct list_entry entry;
  int state = find_made(path, &entry);
  if (state < 0) return -1;
  if (state == FILE_PLAIN && !shared_gives_back()) return 0;
  int descriptor = system_open(path->absolute, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return state == FILE_PLAIN && errno == ENOENT ? 0 : -1;
  struct lazy_file file = lazy_file_of(&entry, true);
  /* Whoever reads it past us does so at any time from now on. */
  blocks_keep(&file);
  int result = state == FILE_PLAIN && file.grown == NULL ? 0 : fill_file(descriptor, &file);
  int problem = errno;
  system_close(descriptor);
  errno = problem;
  return result;
}

int file_is_pending(const struct path *path)
{
  struct list_entry entry;
  int found = list_find(&path->key, &entry);
  if (found <= 0) return found;
  uint32_t word = __atomic_load_n(&shared_state(entry.number)->word, __ATOMIC_SEQ_CST);
  return word == FILE_PENDING || (word & WORD_OWNED) != 0;
}

struct removal {
  const char *path;
  /* NULL: it is in no list. */
  struct file_state *state;
};

static int remove_file(void *argument)
{
  const struct removal *removal = argument;
  if (system_unlink(removal->path) < 0) return -1;
  if (removal->state != NULL) set_state(removal->state, FILE_PLAIN);
  return 0;
}

/* Of what is in the file system. `state`: of the list, where it is lazy there. */
static int unlink_made(const struct path *path, const struct list_entry *entry, struct file_state *state)
{
  struct removal removal = {path->absolute, state};
  struct lazy_file file = lazy_file_of(entry, false);
  if (state == NULL && file.grown == NULL) return system_unlink(path->absolute);
  int result = blocks_cut(&file, -1, 0, remove_file, &removal);
  int problem = errno;
  if (result == 0 && file.grown != NULL) grown_free(file.grown);
  errno = problem;
  return result;
}

/* What is in storage only begins as gone. */
static int unlink_pending(const struct path *path, struct file_state *state, bool is_left_over)
{
  if (is_left_over && system_unlink(path->absolute) < 0 && errno != ENOENT) {
    int problem = errno;
    set_state(state, FILE_PENDING);
    errno = problem;
    return -1;
  }
  set_state(state, FILE_PLAIN);
  return 0;
}

int file_unlink(const struct path *path)
{
  struct list_entry entry;
  bool is_left_over = false;
  int found = list_find(&path->key, &entry);
  if (found < 0) return -1;
  if (found == 0) {
    entry = (struct list_entry){.key = path->key, .number = NO_NUMBER};
    return unlink_made(path, &entry, NULL);
  }
  struct file_state *state = shared_state(entry.number);
  switch (settle(state, &is_left_over)) {
    case FILE_PENDING:
      return unlink_pending(path, state, is_left_over);
    case FILE_LAZY:
      return unlink_made(path, &entry, state);
    case FILE_PLAIN:
      entry.blocks = 0;
      return unlink_made(path, &entry, NULL);
    default:
      return -1;
  }
}

struct cutting {
  int descriptor;
  off_t length;
};

static int cut_file(void *argument)
{
  const struct cutting *cutting = argument;
  return system_ftruncate(cutting->descriptor, cutting->length);
}

int file_truncate(const struct path *path, off_t length)
{
  struct list_entry entry;
  bool is_left_over = false;
  int found = list_find(&path->key, &entry);
  if (found < 0) return -1;
  int state = FILE_PLAIN;
  if (found == 0) entry = (struct list_entry){.key = path->key, .number = NO_NUMBER};
  else state = settle(shared_state(entry.number), &is_left_over);
  if (state == FILE_PENDING) {
    /* Nothing of it is left in storage: it begins as any other file. */
    if (length == 0) entry.blocks = 0;
    state = create_owned(path, &entry, is_left_over);
    if (state == FILE_PLAIN && length == 0) return 0;
  }
  if (state < 0) return -1;
  if (state == FILE_PLAIN) entry.blocks = 0;
  int descriptor = system_open(path->absolute, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  struct lazy_file file = lazy_file_of(&entry, false);
  struct cutting cutting = {descriptor, length};
  bool is_plain = state == FILE_PLAIN && file.grown == NULL;
  int result = is_plain ? cut_file(&cutting) : blocks_cut(&file, descriptor, length, cut_file, &cutting);
  int problem = errno;
  system_close(descriptor);
  errno = problem;
  return result;
}
