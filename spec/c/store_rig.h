/* A broker of fake_core on a real store, asked one question at a time, and a look at what is durable. */
#ifndef SPEC_STORE_RIG_H
#define SPEC_STORE_RIG_H

#include "fake_core.h"

#include "base/rng.h"
#include "store/sqlite.h"

enum { RIG_STATES_MAX = 4096 };

/* Stands between the broker and its store, and knows what the tables are after each batch that went through. */
struct tap {
  struct cox_store store;
  const struct cox_store *inner;
  json_t *tables;                  /* as of now */
  json_t *states[RIG_STATES_MAX];  /* as of each batch */
  size_t count;
};

struct store_rig {
  struct fake *fake;
  struct cox_sqlite *sqlite;
  struct tap tap;
  json_t *model;  /* {id: {"enabled", "max_concurrent"}}: what was acknowledged */
  size_t acked;   /* states that are acknowledged */
};

/* A scratch folder, and the file in it: made for each test, gone after it. */
extern char store_rig_folder[64], store_rig_path[128];
int store_rig_setup(void **state);
int store_rig_teardown(void **state);
/* A broker on that file. */
void store_rig_must_open(struct store_rig *rig);
/* Closes it, and forgets what was acknowledged. */
void store_rig_end(struct store_rig *rig);

/* Opens `path` in that file system (NULL: the machine's) and starts a broker on it. False, with `err`: it would not. */
bool store_rig_open(struct store_rig *rig, const char *path, const char *vfs, struct cox_err *err);
/* Ends broker and store; `model` stays for the next one. */
void store_rig_close(struct store_rig *rig);
/* Sends a command and runs until it is answered; `args` is taken. The answer's outcome; its error's text stays in store_rig_error. */
enum cox_outcome store_rig_ask(struct store_rig *rig, const char *name, json_t *args);
extern char store_rig_error[1024];
extern int store_rig_error_code;
/* Registers node1, which reaches INFERENCE with a driver's notes. */
void store_rig_serve(struct store_rig *rig);
/* Writes a file, mode 0600. */
void store_rig_write(const char *name, const void *bytes, size_t count);
/* One of a few changes by chance, with the model kept up to date when it is acknowledged. False: it was refused or failed. */
bool store_rig_change(struct store_rig *rig, struct cox_rng *rng);
/* Runs until nothing waits for the store and changes are accepted; false: that does not come about within 20 s. */
bool store_rig_recover(struct store_rig *rig);
/* What the broker's memory is, as tables. */
json_t *store_rig_memory(struct store_rig *rig);
/* Does what the broker shows fit the model? */
void store_rig_check_model(struct store_rig *rig);
/* The tables of a file that nobody has open; a new reference. */
json_t *store_rig_tables(const char *path, const char *vfs);
/* Are they equal? What differs is printed. */
bool store_rig_same(json_t *left, json_t *right);
/* Without keep tables; in place. */
void store_rig_only_registry(json_t *tables);

#endif
