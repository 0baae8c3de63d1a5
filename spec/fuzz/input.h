/* What the fuzz targets share: taking an input apart, and saying what broke. A target is a program that reads one input of any bytes
 * and must neither crash nor break a promise; libFuzzer makes the inputs (tools/fuzz), or replay.c reads those that are kept.       */
#ifndef SPEC_FUZZ_INPUT_H
#define SPEC_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target's own; 0 always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of an input. */
struct input {
  const char *at;
  size_t left;
};

/* The next byte; 0 when there is none. */
uint8_t input_byte(struct input *input);
/* Everything up to `separator` (not empty), which is dropped, as text with a NUL behind it; *size bytes. NULL: nothing is left. The
 * caller frees it.                                                                                                                */
char *input_piece(struct input *input, const char *separator, size_t *size);

/* Ends the process, so that the input is kept. */
void input_must(bool is_true, const char *promise) __attribute__((nonnull));

/* A file in memory with those bytes, by a path that can be opened; the same for all inputs. */
const char *input_file(const void *data, size_t size);

/* Log lines go nowhere, but are formatted. */
void input_quiet(void);

#endif
