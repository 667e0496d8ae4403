/*
 * What a server does with files, without a server: driven by lines on standard input, each answered by one line; and a
 * stress of many processes. Pages tell which relation and block they are of, and which version.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 8192
#define WORDS (PAGE / 4)
#define BLOCKS_MAX 4096
#define PROCESSES_MAX 64

/*
 * Word 0 relation, 1 block, 2 version, 3 zero; the rest follow from those. Where the ledger has a clock its turns are
 * versions, and words 0 and 1 are an LSN: 1 and the version. test/shim/shim-world.ts makes them too.
 */
static uint32_t word_of(uint32_t relation, uint32_t block, uint32_t version, uint32_t index)
{
  return (relation * 2654435761u) ^ (block * 40503u) ^ (version * 69069u) ^ (index * 7919u);
}

/* Shared by the processes of a stress: what has been written, and who has which block, as buffer locks would. */
struct ledger {
  /* What storage has, which is known before it is written. The test reads it. */
  uint32_t stored[BLOCKS_MAX];
  /* The last version that storage has, if there is a clock. */
  uint32_t clock;
  uint32_t clock_lock;
  uint32_t locks[BLOCKS_MAX];
  uint32_t versions[BLOCKS_MAX];
  uint32_t low_water;
  uint32_t faults;
  uint64_t reads, writes, cuts, kills;
};

static struct ledger *ledger;

static void make_page(uint32_t *page, uint32_t relation, uint32_t block, uint32_t version)
{
  page[0] = ledger->clock > 0 ? 1 : relation;
  page[1] = ledger->clock > 0 ? version : block;
  page[2] = version;
  page[3] = 0;
  for (uint32_t index = 4; index < WORDS; index++) page[index] = word_of(relation, block, version, index);
}

static bool is_zero(const uint32_t *page)
{
  for (uint32_t index = 0; index < WORDS; index++)
    if (page[index] != 0) return false;
  return true;
}

/* The version of a whole page, -1 for a zero page, -2 for anything else. */
static int64_t version_of(const uint32_t *page, uint32_t relation, uint32_t block)
{
  if (is_zero(page)) return -1;
  bool is_right = ledger->clock > 0 ? page[0] == 1 && page[1] == page[2] : page[0] == relation && page[1] == block;
  if (!is_right || page[3] != 0) return -2;
  for (uint32_t index = 4; index < WORDS; index++)
    if (page[index] != word_of(relation, block, page[2], index)) return -2;
  return page[2];
}

static uint32_t next_random(uint64_t *state)
{
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(*state >> 33);
}

static bool is_gone(pid_t pid)
{
  char path[32], text[256];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return true;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  char *at = strrchr(text, ')');
  return length == 0 || (at != NULL && at[2] == 'Z');
}

/* True: the owner before was killed with it, and nobody knows what it has written. */
static bool lock(uint32_t block)
{
  for (unsigned turn = 1;; turn++) {
    uint32_t before = 0;
    if (__atomic_compare_exchange_n(&ledger->locks[block], &before, (uint32_t)getpid(), false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST))
      return false;
    if (turn % 1000 == 0 && is_gone((pid_t)before) &&
        __atomic_compare_exchange_n(&ledger->locks[block], &before, (uint32_t)getpid(), false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST))
      return true;
    sched_yield();
  }
}

static void unlock(uint32_t block)
{
  __atomic_store_n(&ledger->locks[block], 0, __ATOMIC_SEQ_CST);
}

static void fault(const char *what, uint32_t block, int64_t version, int64_t expected)
{
  __atomic_fetch_add(&ledger->faults, 1, __ATOMIC_SEQ_CST);
  fprintf(stderr, "block %u: %s: version %lld, expected %lld, errno %d\n", block, what, (long long)version,
          (long long)expected, errno);
}

static uint32_t buffer[64 * WORDS];

/* The next version of a block, which storage has from here on. */
static uint32_t next_version(uint32_t index)
{
  if (ledger->clock == 0) return ledger->stored[index] = ledger->versions[index] + 1;
  while (__atomic_exchange_n(&ledger->clock_lock, 1, __ATOMIC_SEQ_CST)) sched_yield();
  uint32_t version = ledger->clock + 1;
  __atomic_store_n(&ledger->stored[index], version, __ATOMIC_SEQ_CST);
  __atomic_store_n(&ledger->clock, version, __ATOMIC_SEQ_CST);
  __atomic_store_n(&ledger->clock_lock, 0, __ATOMIC_SEQ_CST);
  return version;
}

static bool write_blocks(int file, uint32_t relation, uint32_t block, uint32_t count)
{
  struct iovec vector[64];
  uint32_t versions[64];
  for (uint32_t index = 0; index < count; index++) {
    versions[index] = next_version(block + index);
    make_page(buffer + index * WORDS, relation, block + index, versions[index]);
    vector[index].iov_base = buffer + index * WORDS;
    vector[index].iov_len = PAGE;
  }
  if (pwritev(file, vector, (int)count, (off_t)block * PAGE) != (ssize_t)count * PAGE) return false;
  for (uint32_t index = 0; index < count; index++) ledger->versions[block + index] = versions[index];
  __atomic_fetch_add(&ledger->writes, count, __ATOMIC_SEQ_CST);
  return true;
}

static void check_blocks(int file, uint32_t relation, uint32_t block, uint32_t count, bool in_place)
{
  ssize_t length = (ssize_t)count * PAGE;
  ssize_t found;
  if (in_place) {
    found = pread(file, buffer, (size_t)length, (off_t)block * PAGE);
  } else {
    lseek(file, (off_t)block * PAGE, SEEK_SET);
    found = read(file, buffer, (size_t)length);
  }
  if (found != length) return fault("a short read", block, found, length);
  for (uint32_t index = 0; index < count; index++) {
    int64_t version = version_of(buffer + index * WORDS, relation, block + index);
    if (version != ledger->versions[block + index])
      fault("read", block + index, version, ledger->versions[block + index]);
  }
  __atomic_fetch_add(&ledger->reads, count, __ATOMIC_SEQ_CST);
}

/* Reads and blind writes, each under the locks of its blocks. */
static void read_and_write(const char *path, uint32_t relation, uint32_t blocks, uint32_t rounds, uint64_t seed)
{
  int file = open(path, O_RDWR);
  if (file < 0) return fault("open", 0, file, 0);
  for (uint32_t round = 0; round < rounds; round++) {
    uint32_t count = 1 + next_random(&seed) % 8;
    uint32_t block = next_random(&seed) % (blocks - count + 1);
    uint32_t kind = next_random(&seed) % 8;
    if (kind == 0) {
      posix_fadvise(file, (off_t)block * PAGE, (off_t)count * PAGE, POSIX_FADV_WILLNEED);
      continue;
    }
    bool is_tainted = false;
    for (uint32_t index = 0; index < count; index++) is_tainted |= lock(block + index);
    if (kind < 4 || is_tainted) {
      if (!write_blocks(file, relation, block, count)) fault("write", block, -3, 0);
    } else {
      check_blocks(file, relation, block, count, kind < 7);
    }
    for (uint32_t index = 0; index < count; index++) unlock(block + index);
  }
  close(file);
}

/* Reads without locks while one cuts and extends: what was cut off must never come back. */
static void read_while_cut(const char *path, uint32_t relation, uint32_t blocks, uint32_t rounds, uint64_t seed)
{
  int file = open(path, O_RDWR);
  if (file < 0) return fault("open", 0, file, 0);
  for (uint32_t round = 0; round < rounds; round++) {
    uint32_t block = next_random(&seed) % blocks;
    uint32_t low_water = __atomic_load_n(&ledger->low_water, __ATOMIC_SEQ_CST);
    ssize_t length = pread(file, buffer, PAGE, (off_t)block * PAGE);
    if (length < 0) fault("read", block, length, 0);
    if (length != PAGE) continue;
    int64_t version = version_of(buffer, relation, block);
    if (version == -2) fault("damaged", block, version, 0);
    if (version == 0 && block >= low_water) fault("came back", block, version, low_water);
    /* Within a cut that has not ended, zeros are seen of what is about to go. */
    uint32_t low_water_after = __atomic_load_n(&ledger->low_water, __ATOMIC_SEQ_CST);
    if (version == -1 && block < low_water_after && low_water_after == low_water)
      fault("zeros", block, version, low_water);
    __atomic_fetch_add(&ledger->reads, 1, __ATOMIC_SEQ_CST);
  }
  close(file);
}

static void cut_and_extend(const char *path, uint32_t blocks, uint32_t rounds, uint64_t seed)
{
  int file = open(path, O_RDWR);
  uint32_t size = blocks;
  for (uint32_t round = 0; round < rounds && size > 0; round++) {
    size -= next_random(&seed) % 3 == 0 ? 1 + next_random(&seed) % 4 : 0;
    if (size > blocks) size = 0;
    if (next_random(&seed) % 2 == 0) {
      if (ftruncate(file, (off_t)size * PAGE) < 0) fault("ftruncate", size, -3, 0);
    } else if (truncate(path, (off_t)size * PAGE) < 0) {
      fault("truncate", size, -3, 0);
    }
    __atomic_store_n(&ledger->low_water, size, __ATOMIC_SEQ_CST);
    if (lseek(file, 0, SEEK_END) != (off_t)size * PAGE) fault("size", size, lseek(file, 0, SEEK_END), size * PAGE);
    if (ftruncate(file, (off_t)blocks * PAGE) < 0) fault("extend", size, -3, 0);
    __atomic_fetch_add(&ledger->cuts, 1, __ATOMIC_SEQ_CST);
    sched_yield();
  }
  close(file);
}

/* Relations first … first + count of a directory, each of relation % 7 + 1 blocks: made, read, listed and removed. */
static void use_files(const char *directory, uint32_t first, uint32_t count, uint32_t number, uint32_t processes,
                      uint32_t rounds, uint64_t seed)
{
  char path[1100];
  struct stat status;
  for (uint32_t round = 0; round < rounds; round++) {
    uint32_t index = next_random(&seed) % count;
    uint32_t relation = first + index;
    snprintf(path, sizeof path, "%s/%u", directory, relation);
    /* 0 is there, 1 somebody removes it, 2 it is gone. */
    uint32_t *fate = &ledger->versions[index];
    uint32_t before = __atomic_load_n(fate, __ATOMIC_SEQ_CST);
    if (before == 0 && index % processes == number && next_random(&seed) % 4 == 0) {
      __atomic_store_n(fate, 1, __ATOMIC_SEQ_CST);
      if (unlink(path) < 0) fault("unlink", relation, -1, 0);
      __atomic_store_n(fate, 2, __ATOMIC_SEQ_CST);
      __atomic_fetch_add(&ledger->cuts, 1, __ATOMIC_SEQ_CST);
      continue;
    }
    bool is_there = stat(path, &status) == 0;
    if (!is_there && errno != ENOENT) fault("stat", relation, -1, 0);
    if (is_there && before == 2) fault("is there again", relation, before, 0);
    if (is_there && status.st_size != (off_t)(relation % 7 + 1) * PAGE) fault("size", relation, status.st_size, 0);
    int file = open(path, O_RDWR);
    if (file >= 0) {
      ssize_t length = pread(file, buffer, PAGE, (off_t)(relation % 7) * PAGE);
      bool is_right = length == PAGE && version_of(buffer, relation, relation % 7) == 0;
      if (__atomic_load_n(fate, __ATOMIC_SEQ_CST) == 0 && !is_right) fault("read", relation, length, PAGE);
      close(file);
      __atomic_fetch_add(&ledger->reads, 1, __ATOMIC_SEQ_CST);
    }
    if ((file < 0 || !is_there) && __atomic_load_n(fate, __ATOMIC_SEQ_CST) == 0) fault("is gone", relation, file, 0);
  }
}

/* All that nobody removes is listed once. */
static void check_listing(const char *directory, uint32_t first, uint32_t count)
{
  static uint8_t seen[BLOCKS_MAX];
  memset(seen, 0, sizeof seen);
  DIR *stream = opendir(directory);
  if (stream == NULL) return fault("opendir", 0, -1, 0);
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
    uint32_t index = (uint32_t)atoi(entry->d_name) - first;
    if (index < count && ++seen[index] > 1) fault("is listed twice", first + index, 2, 1);
  }
  closedir(stream);
  for (uint32_t index = 0; index < count; index++) {
    uint32_t fate = __atomic_load_n(&ledger->versions[index], __ATOMIC_SEQ_CST);
    if (fate == 0 && !seen[index]) fault("is not listed", first + index, 0, 1);
  }
}

/* A file of its own, made, written, read and removed again and again under the same name. */
static void live_again(const char *directory, uint32_t relation, uint32_t number, uint32_t rounds, uint64_t seed)
{
  char path[1100];
  uint32_t versions[32];
  snprintf(path, sizeof path, "%s/%u", directory, relation);
  for (uint32_t round = 0; round < rounds; round++) {
    uint32_t count = 1 + next_random(&seed) % 32;
    int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0) return fault("create", relation, file, 0);
    for (uint32_t block = 0; block < count; block++) {
      versions[block] = next_version(number * 32 + block);
      make_page(buffer, relation, block, versions[block]);
      if (pwrite(file, buffer, PAGE, (off_t)block * PAGE) != PAGE) fault("write", block, -3, 0);
    }
    __atomic_fetch_add(&ledger->writes, count, __ATOMIC_SEQ_CST);
    for (uint32_t turn = 0; turn < 64; turn++) {
      uint32_t block = next_random(&seed) % count;
      if (turn % 16 == 0) usleep(500);
      if (pread(file, buffer, PAGE, (off_t)block * PAGE) != PAGE) fault("a short read", block, -3, 0);
      int64_t found = version_of(buffer, relation, block);
      if (found != versions[block]) fault("read", block, found, versions[block]);
      __atomic_fetch_add(&ledger->reads, 1, __ATOMIC_SEQ_CST);
    }
    close(file);
    if (next_random(&seed) % 2 == 0 && truncate(path, 0) < 0) fault("truncate", relation, -1, 0);
    if (unlink(path) < 0) fault("unlink", relation, -1, 0);
    __atomic_fetch_add(&ledger->cuts, 1, __ATOMIC_SEQ_CST);
  }
}

struct stress {
  const char *path;
  uint32_t relation, blocks, processes, rounds;
  uint64_t seed;
  bool cuts, kills, files, lives;
};

static pid_t start_child(const struct stress *stress, uint32_t number, uint32_t life)
{
  pid_t pid = fork();
  if (pid != 0) return pid;
  uint64_t seed = stress->seed * 1000003 + number * 101 + life * 7919;
  if (stress->lives) live_again(stress->path, stress->relation + number, number, stress->rounds, seed);
  else if (stress->files && number == 0)
    for (uint32_t round = 0; round < 20; round++) check_listing(stress->path, stress->relation, stress->blocks);
  else if (stress->files)
    use_files(stress->path, stress->relation, stress->blocks, number, stress->processes, stress->rounds, seed);
  else if (!stress->cuts) read_and_write(stress->path, stress->relation, stress->blocks, stress->rounds, seed);
  else if (number == 0) cut_and_extend(stress->path, stress->blocks, stress->rounds / 8, seed);
  else read_while_cut(stress->path, stress->relation, stress->blocks, stress->rounds, seed);
  _exit(0);
}

static void run_stress(const struct stress *stress)
{
  pid_t children[PROCESSES_MAX];
  uint32_t alive = stress->processes;
  uint64_t seed = stress->seed;
  ledger->low_water = stress->blocks;
  for (uint32_t number = 0; number < stress->processes; number++) children[number] = start_child(stress, number, 0);
  for (uint32_t life = 1; alive > 0; life++) {
    int status;
    if (stress->kills && life < 40) {
      struct timespec time = {0, 300000 + next_random(&seed) % 3000000};
      nanosleep(&time, NULL);
      uint32_t victim = next_random(&seed) % stress->processes;
      if (children[victim] > 0 && kill(children[victim], SIGKILL) == 0) {
        waitpid(children[victim], &status, 0);
        ledger->kills++;
        children[victim] = start_child(stress, victim, life);
      }
      continue;
    }
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0) break;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fault("a process has died", 0, status, 0);
    alive--;
  }
  if (!stress->cuts && !stress->files && !stress->lives) {
    int file = open(stress->path, O_RDWR);
    for (uint32_t block = 0; block < stress->blocks; block++) {
      if (lock(block)) write_blocks(file, stress->relation, block, 1);
      check_blocks(file, stress->relation, block, 1, true);
    }
    close(file);
  }
  printf("faults %u reads %llu writes %llu cuts %llu kills %llu\n", ledger->faults, (unsigned long long)ledger->reads,
         (unsigned long long)ledger->writes, (unsigned long long)ledger->cuts, (unsigned long long)ledger->kills);
}

/* Nanoseconds of processor time that a read of what is there takes: others' work does not change it. */
static void measure(const char *path, uint32_t blocks, uint32_t rounds)
{
  struct timespec start, end;
  int file = open(path, O_RDWR);
  uint64_t seed = 5;
  for (uint32_t block = 0; block < blocks; block++) pread(file, buffer, PAGE, (off_t)block * PAGE);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
  for (uint32_t round = 0; round < rounds; round++) pread(file, buffer, PAGE, (off_t)(next_random(&seed) % blocks) * PAGE);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
  printf("%.1f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / rounds);
  close(file);
}

/* How long it takes to read a file that is not there, `step` blocks apart, so many at once: nanoseconds for a read. */
static void measure_cold(const char *path, uint32_t blocks, uint32_t step, uint32_t count)
{
  struct timespec start, end;
  uint32_t reads = 0;
  int file = open(path, O_RDWR);
  pread(file, buffer, PAGE, 0);
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (uint32_t block = 1; block + count <= blocks; block += step, reads++)
    if (pread(file, buffer, (size_t)count * PAGE, (off_t)block * PAGE) != (ssize_t)count * PAGE) break;
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%.1f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / reads);
  close(file);
}

static void answer(long long result)
{
  printf("%lld\n", result < 0 ? (long long)-errno : result);
}

static void list_directory(const char *path)
{
  DIR *directory = opendir(path);
  if (directory == NULL) return answer(-1);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') printf("%s%s ", entry->d_name, entry->d_type == DT_REG ? "" : "?");
  closedir(directory);
  printf("\n");
}

static void check_page(int file, uint32_t relation, uint32_t block)
{
  ssize_t length = pread(file, buffer, PAGE, (off_t)block * PAGE);
  if (length < 0) answer(-1);
  else if (length != PAGE) printf("short %zd\n", length);
  else printf("version %lld\n", (long long)version_of(buffer, relation, block));
}

/* The version of all blocks of a file by a stream, or `?`. */
static void check_stream(const char *path, uint32_t relation)
{
  FILE *stream = fopen(path, "r");
  if (stream == NULL) return answer(-1);
  uint32_t block = 0;
  for (; fread(buffer, PAGE, 1, stream) == 1; block++)
    if (version_of(buffer, relation, block) != 0) break;
  printf("%u%s\n", block, feof(stream) ? "" : "?");
  fclose(stream);
}

/* Processes that do nothing, each a child of the one before. Prints their numbers. */
static void start_children(int count)
{
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    printf("%d ", (int)getpid());
    if (count > 1) start_children(count - 1);
    else printf("\n");
    fflush(stdout);
    for (;;) pause();
  }
}

static bool is_command(const char *line, const char *name)
{
  size_t length = strlen(name);
  return strncmp(line, name, length) == 0 && line[length] == ' ';
}

static void run_line(const char *line)
{
  char path[1024] = "", other[1024] = "";
  long long a = 0, b = 0, c = 0, d = 0, e = 0;
  struct stat status;
  const char *rest = strchr(line, ' ');
  if (rest == NULL) rest = " ";
  sscanf(rest, " %1023s %lld %lld %lld %lld %lld", path, &a, &b, &c, &d, &e);
  long long file = atoll(path);
  if (is_command(line, "open")) answer(open(path, (int)a, 0600));
  else if (is_command(line, "close")) answer(close((int)file));
  else if (is_command(line, "stat")) answer(stat(path, &status) < 0 ? -1 : status.st_size);
  else if (is_command(line, "access")) answer(access(path, F_OK));
  else if (is_command(line, "unlink")) answer(unlink(path));
  else if (is_command(line, "truncate")) answer(truncate(path, a));
  else if (is_command(line, "ftruncate")) answer(ftruncate((int)file, a));
  else if (is_command(line, "size")) answer(lseek((int)file, 0, SEEK_END));
  else if (is_command(line, "list")) list_directory(path);
  else if (is_command(line, "page")) check_page((int)file, (uint32_t)a, (uint32_t)b);
  else if (is_command(line, "stream")) check_stream(path, (uint32_t)a);
  else if (is_command(line, "children")) start_children((int)file);
  else if (is_command(line, "chdir")) answer(chdir(path));
  else if (is_command(line, "rename")) {
    sscanf(rest, " %1023s %1023s", path, other);
    answer(rename(path, other));
  } else if (is_command(line, "write")) {
    make_page(buffer, (uint32_t)a, (uint32_t)b, (uint32_t)c);
    answer(pwrite((int)file, buffer, PAGE, (off_t)b * PAGE));
  } else if (is_command(line, "part")) {
    uint32_t zero = 0;
    answer(pwrite((int)file, &zero, 4, (off_t)a));
  } else if (is_command(line, "flag")) {
    uint8_t flag = (uint8_t)b;
    answer(pwrite((int)file, &flag, 1, (off_t)a));
  } else if (is_command(line, "word")) {
    uint32_t word = 0;
    if (pread((int)file, &word, 4, (off_t)a) == 4) answer(word);
    else answer(-1);
  } else if (is_command(line, "copy")) {
    answer(copy_file_range((int)file, NULL, (int)a, NULL, PAGE, 0));
  } else if (is_command(line, "measure")) {
    measure(path, (uint32_t)a, (uint32_t)b);
  } else if (is_command(line, "cold")) {
    measure_cold(path, (uint32_t)a, (uint32_t)b, (uint32_t)c);
  } else if (is_command(line, "fork")) {
    /* A line of its own, in a process of its own. */
    fflush(stdout);
    pid_t pid = fork();
    int result = 0;
    if (pid == 0) {
      run_line(rest + 1);
      fflush(stdout);
      _exit(0);
    }
    waitpid(pid, &result, 0);
    if (result != 0) printf("died %d\n", result);
  } else if (is_command(line, "fill")) {
    /* Blocks b … b + c of a relation get a version of their own. */
    bool is_done = true;
    for (uint32_t index = 0; index < (uint32_t)c && is_done; index++)
      is_done = write_blocks((int)file, (uint32_t)a, (uint32_t)b + index, 1);
    answer(is_done ? c : -1);
  } else if (is_command(line, "clock")) {
    ledger->clock = (uint32_t)file;
    answer(0);
  } else if (is_command(line, "copied")) {
    /* As a file is copied: one write after another, from where it is. */
    make_page(buffer, (uint32_t)a, (uint32_t)b, (uint32_t)c);
    lseek((int)file, (off_t)b * PAGE, SEEK_SET);
    answer(write((int)file, buffer, PAGE));
  } else if (is_command(line, "blocks")) {
    answer(fstat((int)file, &status) < 0 ? -1 : status.st_blocks * 512 / PAGE);
  } else if (is_command(line, "stress") || is_command(line, "kills") || is_command(line, "cuts") ||
             is_command(line, "files") || is_command(line, "lives")) {
    uint32_t clock = ledger->clock;
    if (!is_command(line, "stress")) memset(ledger, 0, sizeof *ledger);
    ledger->clock = clock;
    struct stress stress = {path, (uint32_t)a, (uint32_t)b, (uint32_t)c, (uint32_t)d, (uint64_t)e,
                            .cuts = is_command(line, "cuts"),
                            .kills = is_command(line, "kills") || is_command(line, "files"),
                            .files = is_command(line, "files"),
                            .lives = is_command(line, "lives")};
    run_stress(&stress);
  } else {
    printf("what?\n");
  }
}

int main(void)
{
  char line[4096];
  const char *path = getenv("VARVE_TEST_LEDGER");
  int file = path == NULL ? -1 : open(path, O_RDWR | O_CREAT, 0600);
  int flags = file < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
  if (file >= 0 && ftruncate(file, sizeof *ledger) < 0) return 1;
  ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, flags, file, 0);
  if (ledger == MAP_FAILED) return 1;
  if (file >= 0) close(file);
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    run_line(line);
    fflush(stdout);
  }
  return 0;
}
