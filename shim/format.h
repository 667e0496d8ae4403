/*
 * The layout of what the agent and the shim share: docs/formats/lazy-directory.md. All numbers are little-endian, as every
 * machine is that this runs on.
 */
#ifndef VARVE_FORMAT_H
#define VARVE_FORMAT_H

#include <stdint.h>

#define FORMAT_VERSION 1u
#define BLOCK_BYTES 8192u

#define SHARED_FILE "shared"
#define LIST_FILE "files"
#define SOCKET_FILE "socket"

#define SHARED_MAGIC 0x485a4c56u /* VLZH */
#define LIST_MAGIC 0x465a4c56u   /* VLZF */

/* Of the shared file: the header, one owner for each process number there can be, the states of files, their blocks. */
#define OWNERS_OFFSET 4096ull
#define OWNERS_MAX (4u * 1024 * 1024)
#define STATES_OFFSET (OWNERS_OFFSET + OWNERS_MAX * 8ull)
#define FILES_MAX (16u * 1024 * 1024)
#define PRESENCE_OFFSET (STATES_OFFSET + FILES_MAX * 32ull)
/* Blocks of a file begin on a page of their own. */
#define PRESENCE_PAGE_BYTES 4096ull
#define SHARED_BYTES_MAX (PRESENCE_OFFSET + (64ull << 30))

struct shared_header {
  uint32_t magic;
  uint32_t version;
  uint32_t block_bytes;
  /* Of files that the shim makes. */
  uint32_t file_mode;
  uint8_t unused[48];
  /* At 64: 1 as soon as the list of files is whole. Written as one byte. */
  volatile uint8_t is_complete;
  uint8_t unused_too[63];
  /* At 128: 1 while nobody may write WAL. Written as one byte. */
  volatile uint8_t holds_wal;
};

/*
 * What has become of a file in the list. A word is one of these, or WORD_OWNED with whoever is about to change it. The
 * words of blocks have the same form.
 */
#define FILE_PENDING 0u /* is not in the file system yet */
#define FILE_LAZY 1u    /* is there; its blocks tell which of them are */
#define FILE_PLAIN 2u   /* the file system alone knows it, or that it is gone */

#define BLOCK_ABSENT 0u
#define BLOCK_PRESENT 1u

#define WORD_OWNED 0x80000000u
#define OWNER_PID_BITS 22
#define OWNER_LIFE_BITS 9
#define OWNER_LIFE_MASK ((1u << OWNER_LIFE_BITS) - 1)

/* One process number: how often another process has had it, and when the latest of them began. */
#define OWNER_START_SHIFT OWNER_LIFE_BITS

struct file_state {
  uint32_t word;
  /* Counts how often blocks were given back; nobody does so in version 1. */
  uint32_t generation;
  /* A futex: changes when a word of the file has, and somebody waits. */
  uint32_t event;
  uint32_t waiters;
  /* Where a reader that goes on would miss next, and how many blocks were brought last. Only hints. */
  uint32_t next_block;
  uint32_t run_blocks;
  uint32_t unused[2];
};

/* A file of a relation, or a segment of an SLRU: tablespace 0, database = which SLRU, relation = its number. */
struct file_key {
  uint32_t tablespace;
  uint32_t database;
  uint32_t relation;
  /* The fork in the highest byte, the segment in the rest. */
  uint32_t part;
};

struct list_entry {
  struct file_key key;
  uint32_t blocks;
  /* In pages of the shared file behind PRESENCE_OFFSET. */
  uint32_t presence_page;
  /* Which of the states, and what the agent knows the file by. */
  uint32_t number;
  uint32_t unused;
};

struct list_header {
  uint32_t magic;
  uint32_t version;
  uint32_t count;
  uint32_t unused[5];
};

/* pg_tablespace.dat. */
#define DEFAULT_TABLESPACE 1663u
#define GLOBAL_TABLESPACE 1664u

#define FORK_SHIFT 24
#define FORK_FREE_SPACE 1u

/* Requests and replies. */
#define REQUEST_HELLO 1u    /* version, process number */
#define REQUEST_FIND 2u     /* key */
#define REQUEST_LIST 3u     /* nothing; answered when the list is whole */
#define REQUEST_READ 4u     /* number, block, count */
#define REQUEST_PREFETCH 5u /* as READ; never answered */

#define REPLY_OK 0u
#define REPLY_NONE 1u
#define REPLY_FAILED 2u

struct request {
  uint32_t kind;
  uint32_t arguments[4];
  uint32_t unused;
};

struct reply {
  uint32_t kind;
  uint32_t status;
  uint32_t payload_bytes;
  uint32_t unused;
};

/* Of a READ. */
#define RUN_BLOCKS_MAX 64u

/* Where the control file is while a data directory is of no use without the shim. */
#define CONTROL_FILE "global/pg_control"
#define GUARDED_CONTROL_FILE "global/pg_control.lazy"

_Static_assert(sizeof(struct file_state) == 32, "file_state");
_Static_assert(sizeof(struct list_entry) == 32, "list_entry");
_Static_assert(sizeof(struct list_header) == 32, "list_header");
_Static_assert(sizeof(struct request) == 24, "request");
_Static_assert(sizeof(struct reply) == 16, "reply");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order");

#endif
