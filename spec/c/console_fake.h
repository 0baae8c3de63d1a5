/* What the console specs share: captured output, a fake daemon, node and world objects. */
#ifndef COX_SPEC_CONSOLE_FAKE_H
#define COX_SPEC_CONSOLE_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "console/target.h"

/* Runs the client's table with the words of `line` (split at spaces; 'single quotes' keep spaces) and catches what it prints. */
struct console_run {
  int rc;
  char out[65536], err[16384];
};
void console_run(struct console_run *run, struct cox_cli_env *env, const char *line);

/* The fake daemon: answers are given in order; what was asked is kept. */
enum { CONSOLE_CALLS = 8 };
struct console_daemon {
  struct {
    int status; /* HTTP, or a negative code */
    const char *body;
    const char *etag; /* NULL: none */
  } answers[CONSOLE_CALLS];
  size_t calls;
  struct {
    char method[8], path[512], base_url[256], unix_socket[256], token[256], ca[256], if_match[160];
    char *body; /* owned; NULL: none */
  } asked[CONSOLE_CALLS];
};
extern struct console_daemon console_daemon;
int console_daemon_call(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
                        struct cox_err *err);
void console_daemon_reset(void);

/* A node object. `status`/`current`: "POC/GENERATING"; converged when they are equal. New reference. */
json_t *console_node(const char *id, const char *intended, const char *current);
/* Puts a value (taken) into the state, or into state.explain. */
void console_state(json_t *node, const char *key, json_t *value);
void console_explain(json_t *node, const char *key, json_t *value);
/* A world of epoch `epoch` whose PoC starts at `start`: generation 20 blocks, delay 2, validation 10, epoch length 100. */
json_t *console_world(int64_t epoch, int64_t start, int64_t height);

/* 2026-01-02T03:04:05.000Z */
#define CONSOLE_NOW_MS INT64_C(1767323045000)

#endif
