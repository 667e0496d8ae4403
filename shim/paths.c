#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether relative paths are of the data directory: asked once, since the server goes there once and stays. */
static enum { UNKNOWN, DATA, ELSEWHERE } current_directory;

void path_forget_directory(void)
{
  current_directory = UNKNOWN;
}

static bool is_in_data_directory(void)
{
  if (current_directory == UNKNOWN) {
    struct stat here;
    struct stat data;
    if (system_stat(AT_FDCWD, ".", &here, 0) < 0 || system_stat(AT_FDCWD, settings.data_directory, &data, 0) < 0) return false;
    bool is_same = here.st_dev == data.st_dev && here.st_ino == data.st_ino;
    current_directory = is_same ? DATA : ELSEWHERE;
  }
  return current_directory == DATA;
}

/* Decimal digits without a leading zero that fit 32 bits. Moves behind them. */
static bool take_number(const char **at, uint32_t *number)
{
  const char *text = *at;
  uint64_t value = 0;
  if (*text < '1' || *text > '9') return false;
  for (; *text >= '0' && *text <= '9'; text++) {
    value = value * 10 + (uint64_t)(*text - '0');
    if (value > UINT32_MAX) return false;
  }
  *at = text;
  *number = (uint32_t)value;
  return true;
}

static bool take_text(const char **at, const char *text)
{
  size_t length = strlen(text);
  if (strncmp(*at, text, length) != 0) return false;
  *at += length;
  return true;
}

static const char *const fork_names[] = {"", "_fsm", "_vm", "_init"};

/* relpath.c, GetRelationPath, and md.c, _mdfd_segpath. */
bool path_parse_name(const char *name, struct file_key *key)
{
  uint32_t fork = 0;
  uint32_t segment = 0;
  if (!take_number(&name, &key->relation)) return false;
  for (uint32_t number = 1; number < 4 && fork == 0; number++)
    if (take_text(&name, fork_names[number])) fork = number;
  if (*name == '.') {
    name++;
    if (!take_number(&name, &segment) || segment >= 1u << FORK_SHIFT) return false;
  }
  key->part = fork << FORK_SHIFT | segment;
  return *name == 0;
}

void path_format_name(const struct file_key *key, char *name, size_t size)
{
  uint32_t segment = key->part & ((1u << FORK_SHIFT) - 1);
  int length = snprintf(name, size, "%u%s", key->relation, fork_names[key->part >> FORK_SHIFT & 3]);
  if (segment > 0) snprintf(name + length, size - (size_t)length, ".%u", segment);
}

/* slru.c, SlruFileName with short names: four to six upper-case hexadecimal digits. */
static bool parse_segment(const char *name, uint32_t slru, struct file_key *key)
{
  size_t length = strlen(name);
  uint32_t segment = 0;
  if (length < 4 || length > 6) return false;
  for (; *name != 0; name++) {
    if (*name >= '0' && *name <= '9') segment = segment << 4 | (uint32_t)(*name - '0');
    else if (*name >= 'A' && *name <= 'F') segment = segment << 4 | (uint32_t)(*name - 'A' + 10);
    else return false;
  }
  *key = (struct file_key){0, slru, segment, 0};
  return true;
}

/* In the order of their numbers in start sets. */
static const char *const slru_directories[] = {"pg_xact/", "pg_multixact/members/", "pg_multixact/offsets/",
                                               "pg_commit_ts/"};

/* A path in the data directory, without needless parts. */
static void classify(const char *text, struct path *path)
{
  struct file_key *key = &path->key;
  if (strcmp(text, CONTROL_FILE) == 0) {
    path->kind = PATH_CONTROL;
    return;
  }
  if (take_text(&text, "pg_wal/")) {
    path->kind = PATH_WAL;
    return;
  }
  for (uint32_t slru = 0; slru < 4; slru++) {
    if (!take_text(&text, slru_directories[slru])) continue;
    if (parse_segment(text, slru, key)) path->kind = PATH_FILE;
    return;
  }
  if (take_text(&text, "base/")) {
    key->tablespace = DEFAULT_TABLESPACE;
    if (!take_number(&text, &key->database)) return;
  } else if (take_text(&text, "global")) {
    key->tablespace = GLOBAL_TABLESPACE;
    key->database = 0;
  } else if (take_text(&text, "pg_tblspc/")) {
    if (!take_number(&text, &key->tablespace) || !take_text(&text, "/PG_")) return;
    text += strcspn(text, "/");
    if (!take_text(&text, "/") || !take_number(&text, &key->database)) return;
  } else {
    return;
  }
  if (*text == 0) path->kind = PATH_DIRECTORY;
  else if (*text == '/' && path_parse_name(text + 1, key)) path->kind = PATH_FILE;
}

/* Takes out `.`, `..` and doubled slashes of an absolute path, by the letter. */
static bool normalize(const char *text, char *result)
{
  size_t length = 0;
  while (*text != 0) {
    size_t part = strcspn(text, "/");
    if (part == 2 && text[0] == '.' && text[1] == '.') {
      while (length > 0 && result[--length] != '/') continue;
    } else if (part > 0 && !(part == 1 && text[0] == '.')) {
      if (length + part + 2 > PATH_BYTES) return false;
      result[length++] = '/';
      memcpy(result + length, text, part);
      length += part;
    }
    text += part;
    while (*text == '/') text++;
  }
  result[length] = 0;
  return true;
}

void path_resolve(int directory, const char *text, struct path *path)
{
  char whole[PATH_BYTES];
  path->kind = PATH_OTHER;
  if (!shim_is_active || text == NULL || *text == 0) return;
  if (*text == '/') {
    if (!normalize(text, path->absolute)) return;
  } else {
    char base[PATH_BYTES];
    if (directory == AT_FDCWD) {
      if (!is_in_data_directory()) {
        if (getcwd(base, sizeof base) == NULL) return;
      } else {
        memcpy(base, settings.data_directory, strlen(settings.data_directory) + 1);
      }
    } else {
      char link[32];
      snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
      ssize_t length = readlink(link, base, sizeof base - 1);
      if (length < 0) return;
      base[length] = 0;
    }
    if (strlen(base) + strlen(text) + 2 > sizeof whole) return;
    strcpy(whole, base);
    strcat(whole, "/");
    strcat(whole, text);
    if (!normalize(whole, path->absolute)) return;
  }
  size_t length = strlen(settings.data_directory);
  if (strncmp(path->absolute, settings.data_directory, length) != 0 || path->absolute[length] != '/') return;
  classify(path->absolute + length + 1, path);
  if (path->kind == PATH_CONTROL) {
    char *end = path->absolute + length + 1;
    memcpy(end, GUARDED_CONTROL_FILE, sizeof GUARDED_CONTROL_FILE);
  }
}
