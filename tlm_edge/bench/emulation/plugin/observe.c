/*
 * Counts the instructions that a program under qemu-user executes between two points it marks itself, and the memory
 * that is its own rather than the emulator's. What is executed would differ from run to run by random numbers, which hash
 * tables are laid out by, and by the time of day, at which runtimes take stock: the program gets the same ones each time.
 *
 * Copyright (C) 2026 The tlm-edge developers
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * This file, unlike the rest of tlm-edge, is part of a plugin that is loaded into QEMU: it is free software under the
 * terms of the GNU General Public License as published by the Free Software Foundation, either version 2 of the
 * License, or (at your option) any later version. See COPYING beside it.
 *
 * Plugin API version 1, that of QEMU 5 to 8. QEMU's header is not packaged everywhere, so what is used of it is
 * declared here. Arguments: out=FILE, where the observations go, and regions=N, how many regions of blocks are counted
 * at most (0: none; what isn't counted runs at full speed).
 *
 * A program marks points with sched_get_priority_max(MARK | k), which fails harmlessly with EINVAL anywhere:
 *   k = 1  a region begins        k = 2  it ends        k = 3  note the memory
 * FILE gets lines, in this order:
 *   region KIB                    one ended, in which pages of so much memory were touched (0: not told by the kernel);
 *                                 followed by its blocks:
 *   count ID N                    block ID was executed N times
 *   memory KIB                    resident memory of the program itself at a mark with k = 3
 *   peak KIB                      its largest value, taken at marks and before every large release of memory
 *   block ID CODE                 the instructions of a block that was counted, 8 hexadecimal digits each
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t, void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                               uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t,
                                              void (*)(qemu_plugin_id_t, unsigned, int64_t, int64_t));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

enum {
  MARK = 0x544c0000,
  BEGIN = 1,
  END = 2,
  NOTE_MEMORY = 3,
  /* Of arm64 Linux: calls after which memory may be less, and the one that marks are made with. */
  SCHED_GET_PRIORITY_MAX = 125,
  BRK = 214,
  MUNMAP = 215,
  MREMAP = 216,
  MADVISE = 233,
  GETRANDOM = 278,
  CLOCK_GETTIME = 113,
  /* Memory released in smaller pieces is not worth a look at it before: the peak may be too low by so much. */
  LARGE_RELEASE = 1 << 20,
  /* Seconds since 1970: the first of January 2026. */
  EPOCH = 1767225600,
  LONGEST_BLOCK = 4096,
  BUCKETS = 1 << 16,
};

/* Where the emulated program's addresses end and the emulator's own begin, on x86-64 and arm64 hosts. */
static const uint64_t GUEST_END = 0x5600000000;

typedef struct Block {
  uint64_t executed, before, id;
  bool counted;
  uint32_t length, *code;
  struct Block *next;
} Block;

static Block *buckets[BUCKETS];
static uint64_t blocks, peak_kib;
static long regions;
static FILE *out;
static uint64_t random_state = 1, nanoseconds;
/* Where a call is to leave what it gives, in the program's own addresses, which are the emulator's too; 0 for others. */
static __thread uint64_t place_of_answer;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static uint32_t hash(const uint32_t *code, uint32_t length) {
  uint32_t value = 2166136261u;
  for (uint32_t index = 0; index < length; index++) {
    value = (value ^ code[index]) * 16777619u;
    value ^= value >> 15;
  }
  return value % BUCKETS;
}

/* The same instructions are the same block wherever they lie: what they cost is the same. */
static Block *find_block(const uint32_t *code, uint32_t length) {
  Block **place = &buckets[hash(code, length)];
  for (Block *block = *place; block; block = block->next) {
    if (block->length == length && !memcmp(block->code, code, length * sizeof *code)) {
      return block;
    }
  }
  Block *block = calloc(1, sizeof *block);
  uint32_t *copy = malloc(length * sizeof *code);
  if (!block || !copy) {
    fprintf(stderr, "tlm-edge's plugin: out of memory\n");
    abort();
  }
  memcpy(copy, code, length * sizeof *code);
  *block = (Block){.id = blocks++, .length = length, .code = copy, .next = *place};
  return *place = block;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *translated) {
  (void)id;
  uint32_t code[LONGEST_BLOCK];
  size_t length = qemu_plugin_tb_n_insns(translated);
  length = length > LONGEST_BLOCK ? LONGEST_BLOCK : length;
  for (size_t index = 0; index < length; index++) {
    memcpy(&code[index], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, index)), sizeof *code);
  }
  pthread_mutex_lock(&mutex);
  Block *block = find_block(code, (uint32_t)length);
  pthread_mutex_unlock(&mutex);
  qemu_plugin_register_vcpu_tb_exec_inline(translated, QEMU_PLUGIN_INLINE_ADD_U64, &block->executed, 1);
}

/* The sum of a field of /proc/self/smaps over the program's own mappings. */
static uint64_t own_kib(const char *field) {
  FILE *maps = fopen("/proc/self/smaps", "r");
  if (!maps) {
    return 0;
  }
  char line[512];
  const size_t length = strlen(field);
  uint64_t start = 0, end = 0, kib = 0, sum = 0;
  while (fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) != 2 && start < GUEST_END &&
        !strncmp(line, field, length) && sscanf(line + length, " %" SCNu64, &kib) == 1) {
      sum += kib;
    }
  }
  fclose(maps);
  return sum;
}

static uint64_t resident_kib(void) {
  const uint64_t sum = own_kib("Rss:");
  peak_kib = sum > peak_kib ? sum : peak_kib;
  return sum;
}

static void clear_references(const char *kind) {
  FILE *file = fopen("/proc/self/clear_refs", "w");
  if (file) {
    fputs(kind, file);
    fclose(file);
  }
}

/* Forget which pages were touched: the processor marks them again from now on. It doesn't look at marks of pages that it
 * has translated lately; the second kind, which asks for writes, makes the kernel drop these translations. */
static void forget_touched(void) {
  clear_references("1");
  clear_references("4");
}

static void begin_region(void) {
  forget_touched();
  for (int index = 0; index < BUCKETS; index++) {
    for (Block *block = buckets[index]; block; block = block->next) {
      block->before = block->executed;
    }
  }
}

static void end_region(void) {
  fprintf(out, "region %" PRIu64 "\n", own_kib("Referenced:"));
  for (int index = 0; index < BUCKETS; index++) {
    for (Block *block = buckets[index]; block; block = block->next) {
      if (block->executed != block->before) {
        fprintf(out, "count %" PRIu64 " %" PRIu64 "\n", block->id, block->executed - block->before);
        block->counted = true;
      }
    }
  }
}

static void on_mark(uint64_t mark) {
  if (mark == NOTE_MEMORY) {
    fprintf(out, "memory %" PRIu64 "\n", resident_kib());
  } else if (mark == BEGIN && regions > 0) {
    begin_region();
  } else if (mark == END && regions > 0) {
    end_region();
    regions--;
  }
}

static void on_syscall(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t first, uint64_t second,
                       uint64_t third, uint64_t fourth, uint64_t fifth, uint64_t sixth, uint64_t seventh,
                       uint64_t eighth) {
  (void)id, (void)cpu, (void)third, (void)fourth, (void)fifth, (void)sixth, (void)seventh, (void)eighth;
  place_of_answer = number == GETRANDOM ? first : number == CLOCK_GETTIME && first == 0 ? second : 0;
  const bool mark = number == SCHED_GET_PRIORITY_MAX && (first & 0xffff0000u) == MARK;
  const bool release =
      ((number == MUNMAP || number == MREMAP || number == MADVISE) && second >= LARGE_RELEASE) || number == BRK;
  if (mark || release) {
    pthread_mutex_lock(&mutex);
    if (mark) {
      on_mark(first & 0xffff);
    } else {
      resident_kib();
    }
    pthread_mutex_unlock(&mutex);
  }
}

/* Marsaglia's xorshift64. */
static unsigned char random_byte(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned char)(random_state >> 32);
}

static void on_return(qemu_plugin_id_t id, unsigned cpu, int64_t number, int64_t given) {
  (void)id, (void)cpu;
  if (place_of_answer == 0 || place_of_answer >= GUEST_END || given < 0) {
    return;
  }
  pthread_mutex_lock(&mutex);
  if (number == GETRANDOM) {
    unsigned char *bytes = (unsigned char *)(uintptr_t)place_of_answer;
    for (int64_t index = 0; index < given; index++) {
      bytes[index] = random_byte();
    }
  } else {
    /* A clock that goes on by a microsecond each time it is looked at. */
    int64_t *time = (int64_t *)(uintptr_t)place_of_answer;
    nanoseconds += 1000;
    time[0] = EPOCH + (int64_t)(nanoseconds / 1000000000u);
    time[1] = (int64_t)(nanoseconds % 1000000000u);
  }
  place_of_answer = 0;
  pthread_mutex_unlock(&mutex);
}

static void on_exit_of_program(qemu_plugin_id_t id, void *nothing) {
  (void)id, (void)nothing;
  pthread_mutex_lock(&mutex);
  resident_kib();
  fprintf(out, "peak %" PRIu64 "\n", peak_kib);
  for (int index = 0; index < BUCKETS; index++) {
    for (Block *block = buckets[index]; block; block = block->next) {
      if (block->counted) {
        fprintf(out, "block %" PRIu64 " ", block->id);
        for (uint32_t place = 0; place < block->length; place++) {
          fprintf(out, "%08" PRIx32, block->code[place]);
        }
        fputc('\n', out);
      }
    }
  }
  fclose(out);
  pthread_mutex_unlock(&mutex);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments) {
  (void)info;
  for (int index = 0; index < count; index++) {
    if (!strncmp(arguments[index], "out=", 4)) {
      out = fopen(arguments[index] + 4, "w");
    } else if (!strncmp(arguments[index], "regions=", 8)) {
      regions = strtol(arguments[index] + 8, NULL, 10);
    }
  }
  if (!out) {
    fprintf(stderr, "tlm-edge's plugin: out=FILE is missing or can't be written\n");
    return 1;
  }
  /* Of a huge page all two megabytes would count as touched. */
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  if (regions > 0) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  }
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  qemu_plugin_register_vcpu_syscall_ret_cb(id, on_return);
  qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
  return 0;
}
