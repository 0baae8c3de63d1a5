/* Shared by the files that make up a simulated world; nobody else includes it. */
#ifndef COX_SIM_WORLD_PRIVATE_H
#define COX_SIM_WORLD_PRIVATE_H

#include "base/rng.h"
#include "core/engine.h"
#include "core/record.h"
#include "sim/chain_feed.h"
#include "sim/chain_state.h"
#include "sim/fleet_node.h"
#include "sim/lease_book.h"
#include "sim/world.h"

enum {
  COX_WORLD_MACHINES_MAX = 100,
  COX_WORLD_WORKERS_MAX = 3,
  COX_WORLD_RING = 64, /* lines of the trace that are kept */
  COX_WORLD_LINE = 320,
  COX_WORLD_EPISODES = 64,
  COX_WORLD_KEEPS = 4,
  COX_WORLD_CLIENTS_MAX = 12,
  COX_WORLD_MODELS = 3,
  COX_WORLD_TENANTS = 3,
  COX_WORLD_MS = 1000,
  COX_WORLD_S = 1000000
};

/* ---- world_events.c: what is to happen when; events of one moment in the order in which they were planned ---- */
enum cox_world_event_kind {
  COX_EVENT_COMMANDS,  /* cox-command wakes */
  COX_EVENT_RECONCILE, /* cox-reconcile wakes; `token` 0: it was triggered, else the plan it belongs to */
  COX_EVENT_RELOAD,    /* cox-reload wakes, to do what nobody asked for */
  COX_EVENT_BEGIN,     /* a worker starts the fiber of run `id` */
  COX_EVENT_WAKE,      /* run `id` waited long enough, if its wait is still `token` */
  COX_EVENT_CANCEL,    /* a worker reads the request to cancel run `id` */
  COX_EVENT_ARRIVE,    /* call `id` reaches its machine, or nobody */
  COX_EVENT_ANSWER,    /* the answer of call `id` is back */
  COX_EVENT_MACHINE,   /* machine `id` moves by itself */
  COX_EVENT_REPLY,     /* the answer to a job's command is there for run `id` */
  COX_EVENT_BLOCK,
  COX_EVENT_OPERATOR,
  COX_EVENT_MISCHIEF,  /* something happens to a machine */
  COX_EVENT_JUMP,      /* of the wall clock */
  COX_EVENT_RESTART,
  COX_EVENT_KILL,      /* in the middle of an exchange, if there is one */
  COX_EVENT_STORE,     /* a commit is through, or a test write may be made; `id`: process, `token`: its plan */
  COX_EVENT_DISK,      /* it becomes full for a while */
  COX_EVENT_SCRIPTS,   /* operators edit the scripts, and ask for an exchange */
  COX_EVENT_CLIENT,    /* client `id` of leases does something, if its plan is still `token` */
  COX_EVENT_MAINTENANCE, /* an operator takes a node out of service for a moment */
  COX_EVENT_READER,    /* somebody looks at the nodes */
  COX_EVENT_CALM,      /* the faults stop */
  COX_EVENT_JUDGE,     /* the node of registration `id` must have converged */
  COX_EVENT_END
};

struct cox_world_event {
  int64_t at_us;
  uint64_t order, id, token;
  enum cox_world_event_kind kind;
};

struct cox_world_events {
  struct cox_world_event *heap;
  size_t count, capacity;
  uint64_t order;
};

void cox_world_plan(struct cox_world *world, int64_t at_us, enum cox_world_event_kind kind, uint64_t id, uint64_t token);
bool cox_world_next(struct cox_world *world, struct cox_world_event *out);

/* ---- machines and calls ---- */
struct cox_world_machine {
  struct cox_fleet_node *node;
  struct cox_fleet_node_options options;
  char host[32];
  int64_t wake_us;       /* planned event */
  int64_t cut_until_us;  /* nothing gets through before */
  unsigned open_posts;   /* mutating calls that some worker has open */
  uint64_t loaded_life, loaded_by; /* process and registration that sent the last inference/up */
  bool is_lying;         /* POSTs are answered OK and not carried out */
  bool is_vague;         /* it lied, or did what an old call said: nobody can know what it runs */
  bool is_spoilt;        /* a server was begun under a fault that only a restart ends */
};

enum cox_world_fate { COX_FATE_GOOD, COX_FATE_LOST, COX_FATE_ANSWER_LOST, COX_FATE_RESET, COX_FATE_ANSWER_RESET, COX_FATE_REFUSED };

struct cox_world_call {
  struct cox_fleet_call fleet; /* first: the node hands it back by this */
  struct cox_world_call *next;
  uint64_t id;
  uint64_t run;       /* 0: nobody waits for it any more */
  unsigned machine;
  enum cox_world_fate fate;
  bool is_at_node;    /* the node has it */
  bool is_mutating;
  bool is_lie;        /* it will be answered OK and not carried out */
  char method[8], path[96];
  /* the answer */
  enum cox_class class_;
  int status;
  char *body, *error;
};

/* ---- world_worker.c: attempts and jobs as fibers on virtual I/O ---- */
struct cox_world_run {
  struct cox_world_run *next;
  uint64_t id;
  struct cox_attempt *attempt; /* NULL: a job */
  const char *job;             /* its name */
  struct cox_fiber *fiber;
  unsigned worker;
  uint64_t token;              /* of the present wait */
  struct cox_world_call *call; /* the transfer that is open */
  bool has_begun, waits_for_answer, is_cancel_asked;
  json_t *answer;              /* of a job's command */
};

/* A completion on its way through the queue: what it must come to is foretold (world_oracle.c). */
struct cox_world_result {
  struct cox_world_result *next;
  struct cox_fence fence;
  enum cox_attempt_kind kind;
  enum cox_class class_;
  struct cox_target *target; /* held */
  uint64_t change;
};

/* A command that was accepted. */
struct cox_world_question {
  struct cox_world_question *next;
  struct cox_world *world;
  uint64_t id, run;
  uint64_t undos; /* of the world when it was asked */
  char name[32];
  unsigned answers;
};

struct cox_world_episode {
  int64_t height;
  char hash[COX_HASH_TEXT_MAX];
  int64_t count;
  struct {
    int64_t node_id;
    uint64_t registration;
  } numbers[512];
  size_t number_count;
};

/* How long leases may keep a node from being brought to its target: world_drains.c. */
struct cox_world_drain {
  int64_t until_us; /* 0: they may not */
  int64_t cut_short_us; /* since when a block has ended that time, as far as was looked; 0: none has */
  bool is_unsure;   /* several things happened at once */
};

struct cox_world_node { /* of a registration, as it was after the last look */
  uint64_t registration, generation;
  struct cox_target *target; /* held */
  struct cox_world_drain drain;
  struct cox_target *older; /* held: the one before, which an undone change brings back, with its drain */
  struct cox_world_drain older_drain;
};

/* ---- world_leases.c ---- */
enum cox_world_client_state { COX_CLIENT_IDLE, COX_CLIENT_WAITS, COX_CLIENT_HOLDS };

struct cox_world_client {
  struct cox_lease_wait wait; /* first: the leases hand it back by this */
  struct cox_world *world;
  enum cox_world_client_state state;
  struct cox_lease_ask ask;
  const char *skip[1];
  char skipped[64];
  int tenant;
  int64_t deadline_us; /* of its wait */
  struct cox_lease_id id;
  char node_id[64];    /* that it holds, or held */
  int64_t until_us;
};

/* ---- world_scripts.c, world_choice.c: which set is live, as it is foretold ---- */
enum { COX_WORLD_NO_SET = -1, COX_WORLD_SETS = 256 };

struct cox_world_exchange {
  int edited, live, previous; /* sets, by their number; NO_SET: nothing to go back to */
  uint64_t previous_number;   /* of its generation */
  bool is_open;               /* a request is being carried out */
  bool was_attended;          /* … and came as far as to wait for cox-command */
  int sets[COX_WORLD_SETS];   /* that generations have or had, by number */
  int64_t sure_us;            /* when the live one was chosen, or later: when the disk last refused anything */
  unsigned answers;
  enum cox_scripts_status status;
  uint64_t number;            /* that was answered */
  char text[256];
};

/* ---- world_store.c: what survives the process ---- */
struct cox_world_entry;
struct cox_world_picture;

/* A small value that somebody keeps in the broker. */
struct cox_world_keep {
  int64_t known, open; /* acknowledged last; under way, 0: none */
  const bool *is_dead;
};

struct cox_world_store {
  struct cox_store store;
  /* the disk */
  json_t *tables;
  uint64_t seq;
  uint32_t starts;
  struct cox_world_picture *picture; /* of memory at the last commit; NULL: the disk was behind */
  uint64_t committed;                /* number of the last change there */
  int64_t full_until_us;
  /* the process */
  struct cox_world_entry *first, **end; /* taken and not committed */
  size_t waiting, in_commit;            /* records; entries that are being written */
  uint64_t token, appended;
  bool is_shut, is_settled, is_dead;
  bool is_whole;  /* when the process ended, all changes were on the disk */
  bool is_doomed; /* the process ends in the middle of the next commit */
  void (*is_back)(void *arg);
  void *is_back_arg;
  char why[64];
  /* the promises */
  uint64_t promised;  /* number of the last change that was acknowledged */
  uint64_t answering; /* of the one whose batch is being acknowledged */
  bool is_owed;       /* a command was answered before its change came by */
  struct cox_world_keep keeps[COX_WORLD_KEEPS];
  int64_t kept;
  uint64_t refused; /* batches for which there was no room */
};

/* ---- world_journal.c ---- */
struct cox_world_line {
  uint64_t seq;
  enum cox_record_kind kind;
};

struct cox_world_journal {
  struct cox_world_line *lines; /* on the disk, of all processes */
  size_t count, capacity;
  size_t told;    /* of them, to who follows */
  uint64_t since; /* the last number that was */
  uint64_t undos, refused; /* of the world and its disk, when all was told last */
};

struct cox_world {
  struct cox_world_options options;
  struct cox_world_scripts scripts;
  struct cox_world_outcome outcome;
  struct cox_rng rng[COX_WORLD_FAMILIES], shape;
  struct cox_rng added; /* for what was added to the world later: what was there before rolls as it did */
  bool has[COX_WORLD_FAMILIES]; /* the family is at work */
  double rate[COX_WORLD_FAMILIES]; /* how much of it, around 1 */
  struct cox_world_events events;
  int64_t now_us, wall_offset_ms;
  struct cox_clock_era era;
  struct cox_clock clock;
  json_t *config, *participant;
  uint64_t ids;
  bool is_calm, is_over;
  bool is_patient; /* lives on until the last judgement though all is well before */
  int64_t calm_us, settled_us; /* settled: not before, so that what was on its way at the calm has come */
  uint64_t hash;
  char ring[COX_WORLD_RING][COX_WORLD_LINE];
  uint64_t lines;
  /* the network's far side */
  struct cox_world_machine machines[COX_WORLD_MACHINES_MAX];
  unsigned machine_count;
  struct cox_world_call *calls;
  /* the broker's process */
  struct cox_broker *broker;
  struct cox_transport transport;
  void *vms[COX_WORLD_WORKERS_MAX];
  struct cox_world_run *runs;
  struct cox_world_result *results, **results_end;
  struct cox_world_store disk;
  struct cox_world_journal journal;
  struct cox_world_question *questions; /* all that this process accepted */
  size_t open_questions;
  bool is_command_planned, is_reconcile_planned, is_reload_planned;
  uint64_t plan; /* number of the reconciler's last plan to wake by itself */
  int64_t reconcile_at_us;
  size_t stray_results; /* given back and not handled yet */
  unsigned lives;
  bool has_block;   /* a synced one was told to this process */
  bool is_unsteady; /* a change was undone: policy decides anew at the next block, … */
  uint64_t undos;   /* … that is told after so many undone changes */
  /* what is remembered of it */
  struct cox_world_node *seen;
  size_t seen_count;
  size_t drains; /* of them */
  struct cox_world_episode *episodes;
  size_t episode_count;
  /* the chain */
  struct cox_chain_state *chain;
  struct cox_chain_feed feed;
  struct cox_chain_faults chain_faults;
  int64_t block_us, stall_until_us, unsynced_until_us;
  int64_t said_epoch; /* epoch whose models were made up last */
  unsigned said_life; /* of the process that was told all */
  json_t *epoch_models, *preserved;
  bool is_clock_job;
  /* operators */
  json_t *registered; /* {id: node object}: what they believe to be registered */
  unsigned names;     /* given so far */
  unsigned tasks;
  bool has_trained;
  bool is_blind; /* something they asked for was refused: what is registered must be looked up */
  struct cox_world_exchange exchange;
  uint64_t tally; /* that the job has said in this process */
  /* clients of leases */
  struct cox_world_client clients[COX_WORLD_CLIENTS_MAX];
  unsigned client_count;
  struct cox_book *book;
  bool is_touched; /* something may have changed since they were compared */
  bool is_loose; /* several leases end in this pass: nobody knows in which order */
};

/* ---- world.c ---- */
/* The invariant `name` is broken; the first one counts. `node` may be NULL. */
void cox_world_break(struct cox_world *world, const char *name, const char *node, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* One roll of a family's dice, which is always made: true with probability p · rate, when the family is at work. */
bool cox_world_roll(struct cox_world *world, enum cox_world_family family, double p);
uint64_t cox_world_below(struct cox_world *world, enum cox_world_family family, uint64_t bound);
/* Microseconds, uniform in [from_s, to_s). */
int64_t cox_world_span(struct cox_world *world, enum cox_world_family family, double from_s, double to_s);

/* ---- world_trace.c ---- */
void cox_world_trace(struct cox_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cox_world_trace_json(struct cox_world *world, const char *what, const json_t *json);

/* ---- world_shape.c: what the seed makes of a world ---- */
int cox_world_shape(struct cox_world *world, struct cox_err *err);
/* Name of a model that nodes may serve. */
const char *cox_world_model(int index);
/* A node object for that machine. A new reference. */
json_t *cox_world_node_object(struct cox_world *world, const char *id, unsigned machine, struct cox_rng *rng);

/* ---- world_network.c ---- */
/* Starts a transfer for the run; its answer comes as COX_EVENT_ANSWER. */
void cox_world_send(struct cox_world *world, struct cox_world_run *run, const struct cox_io_request *request);
/* The caller closes its connection. */
void cox_world_hang_up(struct cox_world *world, struct cox_world_run *run);
void cox_world_arrive(struct cox_world *world, uint64_t id);
/* Call of that number, NULL: gone. */
struct cox_world_call *cox_world_call_find(struct cox_world *world, uint64_t id);
void cox_world_machine_move(struct cox_world *world, unsigned index);
/* Breaks every connection that hangs. */
void cox_world_heal_network(struct cox_world *world);
void cox_world_forget_calls(struct cox_world *world);

/* ---- world_mischief.c ---- */
/* `token` 0: something happens to some machine; else the faults of machine token - 1 end. */
void cox_world_mischief(struct cox_world *world, uint64_t token);
void cox_world_heal_machines(struct cox_world *world);

/* ---- world_worker.c ---- */
void cox_world_worker_init(struct cox_world *world);
void cox_world_begin(struct cox_world *world, uint64_t run);
void cox_world_wake(struct cox_world *world, uint64_t run, uint64_t token);
void cox_world_cancel(struct cox_world *world, uint64_t run);
void cox_world_answered(struct cox_world *world, uint64_t call);
void cox_world_replied(struct cox_world *world, uint64_t run);
int cox_world_start_job(struct cox_world *world, const char *name);
/* After an exchange: ends that job, if it runs, and begins it with the new scripts. */
void cox_world_renew_job(struct cox_world *world, const char *name);
void cox_world_end_jobs(struct cox_world *world);
/* Ends all runs as a process that ends does. */
void cox_world_end_runs(struct cox_world *world);

/* ---- world_daemon.c: the broker's loops as its threads would run them ---- */
int cox_world_daemon_start(struct cox_world *world);
void cox_world_daemon_stop(struct cox_world *world);
void cox_world_commands(struct cox_world *world);
void cox_world_reconcile(struct cox_world *world, uint64_t token);
void cox_world_reload(struct cox_world *world);
void cox_world_read(struct cox_world *world);
/* Plans the loops that were woken since. */
void cox_world_pump(struct cox_world *world);
/* Sends a command; `run` 0: nobody waits for its answer but the book of questions. False: it was refused. */
bool cox_world_ask(struct cox_world *world, const char *name, json_t *args, uint64_t run, struct cox_err *err);

/* ---- world_store.c ---- */
/* Around a process: before the broker is made, after it has loaded, and when the process ends. */
void cox_world_store_begin(struct cox_world *world);
void cox_world_store_found(struct cox_world *world);
void cox_world_store_die(struct cox_world *world);
void cox_world_store_fini(struct cox_world *world);
/* All that waits is committed at once, as an orderly end does. */
void cox_world_store_flush(struct cox_world *world);
void cox_world_store_go_on(struct cox_world *world, uint64_t token);
void cox_world_fill_disk(struct cox_world *world);
/* Does nothing wait for it, and can it be written? */
bool cox_world_store_is_idle(const struct cox_world *world);
/* That command was answered as done. */
void cox_world_store_answered(struct cox_world *world, const char *command);
/* Keeps a new value in one of a few places. */
void cox_world_keep(struct cox_world *world, unsigned which);

/* ---- world_journal.c ---- */
/* That batch is on the disk. */
void cox_world_journal_write(struct cox_world *world, const struct cox_batch *batch);
/* As cox_store.read; `ctx` is the world. */
int cox_world_journal_read(void *ctx, struct cox_store_read *read, struct cox_err *err);
/* Who follows the journal looks again. */
void cox_world_journal_follow(struct cox_world *world);
void cox_world_journal_fini(struct cox_world *world);

/* ---- world_leases.c ---- */
void cox_world_clients_begin(struct cox_world *world);
void cox_world_client_act(struct cox_world *world, uint64_t number);
/* Takes over from the registry who is there and who serves. */
void cox_world_leases_sync(struct cox_world *world);
/* Around a process, and around a pass of the reconciler. */
void cox_world_leases_start(struct cox_world *world);
void cox_world_leases_stop(struct cox_world *world);
void cox_world_leases_begin_pass(struct cox_world *world);
void cox_world_leases_end_pass(struct cox_world *world);
/* Do book and leases agree? */
void cox_world_check_leases(struct cox_world *world);
/* Does anything live, or wait, longer than it may? */
void cox_world_check_lease_times(struct cox_world *world);

/* ---- world_chain.c ---- */
void cox_world_block(struct cox_world *world);
/* One last good block, which says all. */
void cox_world_steady_chain(struct cox_world *world);
/* Is the chain's next block in another phase, or is another command due there? */
bool cox_world_at_boundary(struct cox_world *world);

/* ---- world_operator.c ---- */
/* Sends and forgets; takes `args`. */
void cox_world_order(struct cox_world *world, const char *name, json_t *args);
void cox_world_operate(struct cox_world *world);
void cox_world_maintenance_begin(struct cox_world *world);
void cox_world_maintain(struct cox_world *world);
void cox_world_declare(struct cox_world *world);
/* They look up what is registered. */
void cox_world_look_around(struct cox_world *world);

/* ---- world_scripts.c ---- */
/* Before the first start: what the files hold. */
void cox_world_first_set(struct cox_world *world);
void cox_world_exchange_begin(struct cox_world *world);
void cox_world_exchange(struct cox_world *world);

/* ---- world_choice.c ---- */
/* A process begins: the scripts that its files and its store say. 0 or a code. */
int cox_world_scripts_load(struct cox_world *world);
/* The job that counts says so. */
void cox_world_check_tally(struct cox_world *world, const json_t *args);
/* `exchange.live` is live now. */
void cox_world_choose(struct cox_world *world);
/* Would a start find it? And it must, once the disk has taken all it was given for long enough. */
bool cox_world_is_choice_stored(struct cox_world *world);
void cox_world_check_choice(struct cox_world *world);

/* ---- world_oracle.c: what results must come to ---- */
void cox_world_expect(struct cox_world *world, const struct cox_attempt *attempt);
/* Handles the results that wait, with each outcome foretold and compared. */
void cox_world_handle_results(struct cox_world *world);
void cox_world_forget_results(struct cox_world *world);

/* ---- world_checks.c: the invariants ---- */
void cox_world_check(struct cox_world *world);
/* After a command or more; `count`: how many ran. */
void cox_world_check_commands(struct cox_world *world, uint64_t count);
/* The nodes have what policy says when it is asked again. */
void cox_world_check_intents(struct cox_world *world);
void cox_world_check_pass(struct cox_world *world);
void cox_world_check_start(struct cox_world *world, const struct cox_attempt *attempt);
void cox_world_check_init(struct cox_world *world, const struct cox_world_run *run, const char *path, const json_t *body);
void cox_world_forget_seen(struct cox_world *world);
/* NULL: that registration was not there at the last look. */
struct cox_world_node *cox_world_seen(const struct cox_world *world, uint64_t registration);
void cox_world_forget_episodes(struct cox_world *world);
/* A start has found one in the store. */
void cox_world_find_episode(struct cox_world *world);

/* ---- world_drains.c: nodes that let their leases end first ---- */
/* What a node was is `before` (NULL: it is new), with its drain; `count`: so many commands ran since. */
void cox_world_drain_follow(struct cox_world *world, const struct cox_node *node, struct cox_world_node *before, struct cox_world_node *now,
                            uint64_t count);
/* Do leases still keep the node from being looked after? */
bool cox_world_drains(struct cox_world *world, const struct cox_node *node);
/* An attempt is handed over: its drain must be over. */
void cox_world_drain_check_start(struct cox_world *world, const struct cox_node *node);
/* What must somebody be awake for? */
void cox_world_drain_check_wake(struct cox_world *world);

/* ---- world_settle.c ---- */
void cox_world_calm(struct cox_world *world);
void cox_world_judge(struct cox_world *world, uint64_t registration);
/* Is everything, some time after the calm, what it is to be? */
bool cox_world_is_settled(struct cox_world *world);
/* All judgements are made. */
void cox_world_end(struct cox_world *world);

/* The machine of a node's configuration, NULL: none. */
struct cox_world_machine *cox_world_machine_of(struct cox_world *world, const json_t *config);
/* Reads "http://10.0.0.7:8080/path" → machine index; -1: nobody lives there. */
int cox_world_find_machine(const struct cox_world *world, const char *url, bool *is_inference, const char **path);

#endif
