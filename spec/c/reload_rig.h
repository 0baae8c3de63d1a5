/* A broker under a fake clock, decided for by a scratch copy of the scripts, with a real cox-reload beside it. The spec's thread is
 * cox-command: it drives the loops while it waits for an answer.                                                                 */
#ifndef SPEC_RELOAD_RIG_H
#define SPEC_RELOAD_RIG_H

#include "fake_core.h"

#include "base/lock.h"
#include "core/scripts.h"
#include "script/script.h"

enum { RELOAD_RIG_LIMIT_MS = 60000 };

struct reload_rig {
  char folder[64];  /* the scratch copy */
  char second[64];  /* a folder that lies over it; "": none */
  struct fake *fake;
  struct cox_script *script;
  const struct cox_scripts *scripts;
  bool is_watching;          /* cox-reload notices edits by itself */
  size_t exchanges;          /* seen on cox-reload */
  /* the last answer */
  struct cox_mutex mutex;    /* guards the rest */
  bool is_answered;
  enum cox_scripts_status status;
  json_t *result;
  struct cox_err err;
};

enum reload_rig_ask { RIG_RELOAD, RIG_ROLLBACK, RIG_PLAN };

/* The shipped scripts, copied; node1 … node3 are registered, and a block in the Inference phase was taken in. Zeroed before, but for
 * is_watching and the folders, when they exist already.                                                                          */
void reload_rig_start(struct reload_rig *rig);
void reload_rig_stop(struct reload_rig *rig);
/* A policy script, a line of it, and one that leaves node2 stopped instead: for reload_rig_edit. */
#define RIG_PHASES "policy/phases.lua"
#define RIG_SERVE "if ask.status == \"INFERENCE\" then return serve(node, \"inference_up_all\") end"
#define RIG_STOP_ONE                                                                                                  \
  "if ask.status == \"INFERENCE\" and node.id == \"node2\" then return { status = \"STOPPED\" }, \"tried out\" end\n" \
  "  " RIG_SERVE

/* Replaces `from` (which must be there) by `to` in a script of the scratch copy. */
void reload_rig_edit(struct reload_rig *rig, const char *path, const char *from, const char *to);
/* Writes a script of the scratch copy. */
void reload_rig_write(struct reload_rig *rig, const char *path, const char *text);
/* Asks, one question at a time. `dir` is for plans. */
void reload_rig_begin(struct reload_rig *rig, enum reload_rig_ask what, const char *dir);
/* Asks and drives the loops until it is answered. */
enum cox_scripts_status reload_rig_ask(struct reload_rig *rig, enum reload_rig_ask what, const char *dir);
/* Drives the loops until `is_so` or the limit, which fails the test with `what`. */
void reload_rig_until(struct reload_rig *rig, bool (*is_so)(struct reload_rig *rig), const char *what);
/* show(), kept until the next call. */
json_t *reload_rig_show(struct reload_rig *rig);
json_int_t reload_rig_number(struct reload_rig *rig);
/* Epochs of 100 blocks as in script_test.c. */
enum cox_outcome reload_rig_block(struct reload_rig *rig, int height, int epoch, int start);

#endif
