/* What readers, writers, those who cut, and the evictor have to say of words. */
#ifndef VARVE_BLOCKS_H
#define VARVE_BLOCKS_H

#include "shim.h"

/* In publish: what the word was before it was owned. */
#define BLOCK_BEFORE 0xffffffffu

static inline bool gives_back(const struct lazy_file *file)
{
  return file->grown != NULL;
}

/* Behind the last block that has a word. */
static inline uint32_t words_end(const struct lazy_file *file)
{
  return gives_back(file) ? SEGMENT_BLOCKS : file->blocks;
}

static inline uint32_t *word_at(const struct lazy_file *file, uint32_t block)
{
  return block < file->blocks ? &file->words[block] : &file->grown_words[block];
}

static inline uint32_t word_load(const struct lazy_file *file, uint32_t block)
{
  return __atomic_load_n(word_at(file, block), __ATOMIC_SEQ_CST);
}

static inline bool word_is_present(const struct lazy_file *file, uint32_t block, uint32_t word)
{
  return word == BLOCK_PRESENT || word == BLOCK_USED || (word == BLOCK_ABSENT && block >= file->blocks);
}

static inline bool word_is_given(uint32_t word)
{
  return word == BLOCK_GIVEN || word == BLOCK_GIVEN_VISIBLE;
}

/* Its content is in storage, and not in the file. */
static inline bool word_is_away(const struct lazy_file *file, uint32_t block, uint32_t word)
{
  return word_is_given(word) || (word == BLOCK_ABSENT && block < file->blocks);
}

/* False: the word is another by now. What it was is remembered, for BLOCK_BEFORE. */
bool word_take(const struct lazy_file *file, uint32_t block, uint32_t seen, uint32_t owner);
/* What the word was of a block that this process owns. */
uint32_t word_before(uint32_t block);
/* A present block was looked at or written. */
void word_use(const struct lazy_file *file, uint32_t block, uint32_t seen);
/* Ends the ownership of what is owned in [first, end), and tells who waits. */
void publish(const struct lazy_file *file, uint32_t first, uint32_t end, uint32_t owner, uint32_t value);
/* Waits for the owner of a word. 1: it is dead, and its word may be taken; 0: look again; -1 with errno. */
int wait_for_owner(const struct lazy_file *file, uint32_t block, uint32_t word);
/* The blocks of some bytes, as far as they have words. */
void blocks_of(const struct lazy_file *file, off_t offset, size_t length, uint32_t *first, uint32_t *end);
int ensure_blocks(int descriptor, const struct lazy_file *file, uint32_t first, uint32_t end);
/* The word of this process, or 0 with errno. */
uint32_t own_word_or_refuse(void);

/* bufpage.h: what the head of a page says. */
#define PAGE_FLAGS_OFFSET 10
#define PAGE_SPECIAL_OFFSET 16
#define PAGE_HEADER_BYTES 24
#define PD_ALL_VISIBLE 0x0004u

#endif
