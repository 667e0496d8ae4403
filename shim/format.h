/*
 * The layout of what the agent and the shim share: docs/formats/lazy-directory.md. All numbers are little-endian, as every
 * machine is that this runs on.
 */
#ifndef VARVE_FORMAT_H
#define VARVE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define FORMAT_VERSION 3u
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
/*
 * Only where blocks may be given back: a table of files, by their keys, and for each of them the words of a whole
 * segment. They are those of blocks that have none before: behind the size at the start, and of files made later.
 */
#define SEGMENT_BLOCKS 131072u
#define GROWN_MAX (128u * 1024)
#define GROWN_OFFSET (PRESENCE_OFFSET + (64ull << 30))
#define GROWN_ENTRIES_OFFSET (GROWN_OFFSET + 4096)
#define GROWN_WORDS_OFFSET (GROWN_ENTRIES_OFFSET + GROWN_MAX * 64ull)
#define SHARED_BYTES_MAX (GROWN_WORDS_OFFSET + GROWN_MAX * (SEGMENT_BLOCKS * 4ull))

struct shared_header {
  uint32_t magic;
  uint32_t version;
  uint32_t block_bytes;
  /* Of files that the shim makes. */
  uint32_t file_mode;
  /* 1 where blocks may be given back: then the table of grown files is there. */
  uint32_t gives_back;
  uint32_t has_checksums;
  uint8_t unused[40];
  /* At 64: 1 as soon as the list of files is whole. Written as one byte. */
  volatile uint8_t is_complete;
  uint8_t unused_too[63];
  /* At 128: how WAL is written. Written as one byte. */
  volatile uint8_t holds_wal;
  uint8_t unused_three[63];
  /* At 192, of those that write: bytes that were brought or written, and how many of them wake the evictor by this futex. */
  uint64_t added_bytes;
  uint64_t wake_at_bytes;
  uint32_t wake_event;
};

#define WAL_HELD 1u   /* not at all */
#define WAL_SLOWED 2u /* slowly: what makes room, a checkpoint, writes some too */

/*
 * What has become of a file in the list. A word is one of these, or WORD_OWNED with whoever is about to change it. The
 * words of blocks have the same form.
 */
#define FILE_PENDING 0u /* is not in the file system yet */
#define FILE_LAZY 1u    /* is there; its blocks tell which of them are */
#define FILE_PLAIN 2u   /* the file system alone knows it, or that it is gone */

/* Was never brought. Of a block that has its word in the table of grown files: present. */
#define BLOCK_ABSENT 0u
#define BLOCK_PRESENT 1u
#define BLOCK_GIVEN 2u         /* was given back */
#define BLOCK_USED 3u          /* present, and used since the evictor's hand has passed */
#define BLOCK_GIVEN_VISIBLE 4u /* was given back with PD_ALL_VISIBLE, of which its LSN does not tell */

#define WORD_OWNED 0x80000000u
/* What is owned is nowhere else: whoever dies with it takes the server with it, and nobody takes the word over. */
#define WORD_HELD 0x40000000u
#define OWNER_PID_BITS 22
#define OWNER_LIFE_BITS 8
#define OWNER_LIFE_MASK ((1u << OWNER_LIFE_BITS) - 1)

/* One process number: how often another process has had it, and when the latest of them began. */
#define OWNER_START_SHIFT OWNER_LIFE_BITS

struct file_state {
  uint32_t word;
  /* Counts how often blocks were given back: a reader looks whether it has changed meanwhile. */
  uint32_t generation;
  /* A futex: changes when a word of the file has, and somebody waits. */
  uint32_t event;
  uint32_t waiters;
  /* Where a reader that goes on would miss next, and how many blocks were brought last. Only hints. */
  uint32_t next_block;
  uint32_t run_blocks;
  /* How many are about to cut it: meanwhile nothing is given back. */
  uint32_t cutters;
  uint32_t flags;
};

/* Nothing of it is given back: its pages tell less than when they were written, or somebody reads past the shim. */
#define FILE_KEEPS 1u

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
  /* In the lowest byte, whose pages it has: an unlogged relation's are those of its init fork. See CONTENT_AROUND_SHIFT. */
  uint32_t content;
};

#define CONTENT_FORK_MASK 0xffu
/* Above: how many blocks come at once, where one of them is read; RUN_BLOCKS_MAX at most, 0 is one. */
#define CONTENT_AROUND_SHIFT 8

struct list_header {
  uint32_t magic;
  uint32_t version;
  uint32_t count;
  uint32_t unused[5];
};

struct grown_table {
  /* Owned by whoever adds or removes an entry. */
  uint32_t lock;
  /* 1: an entry had no place, and no other gets one from then on. */
  uint32_t is_full;
};

#define GROWN_EMPTY 0u
#define GROWN_LIVE 1u
#define GROWN_REMOVED 2u

struct grown {
  struct file_key key;
  uint32_t use;
  /* Behind the last word that ever was another than 0. */
  uint32_t high;
  uint32_t unused[2];
  /* Of a file that is in no list. */
  struct file_state state;
};

/* pg_tablespace.dat. */
#define DEFAULT_TABLESPACE 1663u
#define GLOBAL_TABLESPACE 1664u

#define FORK_SHIFT 24
#define FORK_MAIN 0u
#define FORK_FREE_SPACE 1u

/* Requests and replies. */
#define REQUEST_HELLO 1u          /* version, process number */
#define REQUEST_FIND 2u           /* key */
#define REQUEST_LIST 3u           /* nothing; answered when the list is whole */
#define REQUEST_READ 4u           /* number, block, count */
#define REQUEST_PREFETCH 5u       /* as READ; never answered */
#define REQUEST_READ_AGAIN 6u     /* key, block, count, count of blocks behind them that may be wanted */
#define REQUEST_PREFETCH_AGAIN 7u /* key, block, count; never answered */
#define REQUEST_GIVE 8u           /* used KiB, KiB given back since the last, flags */

#define REPLY_OK 0u
#define REPLY_NONE 1u
#define REPLY_FAILED 2u

struct request {
  uint32_t kind;
  uint32_t arguments[7];
};

struct reply {
  uint32_t kind;
  uint32_t status;
  uint32_t payload_bytes;
  uint32_t unused;
};

/* Of a READ. */
#define RUN_BLOCKS_MAX 64u

/* Of a GIVE. */
#define GIVE_SHORT 1u    /* less could be given back than was wanted */
#define GIVE_BEHIND 2u   /* for what was left is newer than what storage was said to have */
#define GIVE_NO_HOLES 4u /* the file system cannot */

struct permission {
  /* Storage has all up to there, and pages are read at this LSN or later. */
  uint32_t lsn_high;
  uint32_t lsn_low;
  uint32_t give_kib;
  /* The evictor wants to know when so much was added. */
  uint32_t wake_kib;
  /* 1: it looks again soon, whatever was added. */
  uint32_t is_pressed;
  uint32_t unused[3];
};

/* Where the control file is while a data directory is of no use without the shim. */
#define CONTROL_FILE "global/pg_control"
#define GUARDED_CONTROL_FILE "global/pg_control.lazy"

_Static_assert(sizeof(struct file_state) == 32, "file_state");
_Static_assert(sizeof(struct list_entry) == 32, "list_entry");
_Static_assert(sizeof(struct list_header) == 32, "list_header");
_Static_assert(sizeof(struct grown) == 64, "grown");
_Static_assert(sizeof(struct request) == 32, "request");
_Static_assert(sizeof(struct permission) == 32, "permission");
_Static_assert(offsetof(struct shared_header, is_complete) == 64, "is_complete");
_Static_assert(offsetof(struct shared_header, holds_wal) == 128, "holds_wal");
_Static_assert(offsetof(struct shared_header, added_bytes) == 192, "added_bytes");
_Static_assert(sizeof(struct reply) == 16, "reply");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order");

#endif
