/* The hostile scripts of spec/fixtures/hostile, and folders of scripts made of them. */
#ifndef SPEC_HOSTILE_H
#define SPEC_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>

enum hostile_kind { HOSTILE_TIME, HOSTILE_MEMORY, HOSTILE_ERROR, HOSTILE_FINE, HOSTILE_KINDS };

struct hostile {
  enum hostile_kind kind;
  char contexts[8];  /* of "pdjl" */
  bool needs_tick;
  char name[160];
  char expected[80]; /* words of the error; "": any */
  char *code;
};

/* All cases; `*count` of them. Ends the test program when a fixture cannot be read. */
struct hostile *hostile_read(size_t *count);
void hostile_free(struct hostile *cases, size_t count);

/* A new folder below the system's temporary one, with the shipped scripts in it. To be given to hostile_remove. */
char *hostile_folder(void);
void hostile_remove(char *folder);
/* Writes a file into it; makes the folders on the way. */
void hostile_write(const char *folder, const char *name, const char *bytes, size_t len);
void hostile_put(const char *folder, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
