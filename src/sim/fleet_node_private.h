/* Shared by the files that make up a simulated node; nobody else includes it. */
#ifndef COX_SIM_FLEET_NODE_PRIVATE_H
#define COX_SIM_FLEET_NODE_PRIVATE_H

#include "sim/fleet_node.h"

#define COX_FLEET_NEVER INT64_MAX

enum { COX_FLEET_ROUTES = 20, COX_FLEET_SECOND_US = 1000000 };

enum cox_fleet_service { COX_SERVICE_STOPPED, COX_SERVICE_INFERENCE, COX_SERVICE_POW, COX_SERVICE_TRAIN };

/* What an open call waits for. */
enum cox_fleet_wait {
  COX_WAIT_TURN,  /* it is handled (again) when something ends: a silence, a stop, a load */
  COX_WAIT_LOAD,  /* the end of the load, which makes its answer */
  COX_WAIT_STOP,  /* the end of the stop; its answer is prepared */
  COX_WAIT_TIME,  /* at_us; its answer is prepared */
  COX_WAIT_LEAVE, /* decided: it leaves at at_us */
  COX_WAIT_NEVER  /* only the end of the process ends it */
};

struct cox_fleet_route {
  const char *method, *path;
  enum cox_fleet_service service; /* while another one runs: 409; STOPPED: always allowed */
  bool is_new;                    /* unknown to old nodes */
  bool is_inference;              /* of the inference API */
  void (*handle)(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
};

struct cox_fleet_count {
  uint64_t calls;
  int64_t first_us, last_us;
};

struct cox_fleet_server {
  json_t *asked; /* body of the inference/up; NULL: no server */
  int64_t load_at_us; /* end of the load; COX_FLEET_NEVER: none goes on */
  int64_t healthy_at_us; /* COX_FLEET_NEVER: not healthy */
  bool is_failed;
};

struct cox_fleet_async {
  const char *status; /* up/status: knows only of loads that up/async began */
  int64_t began_us, ended_us;
};

struct cox_fleet_pow {
  const char *status; /* GENERATING or VALIDATING; NULL: not loaded */
  json_t *asked; /* init body */
  int64_t initialized_at_us;
};

struct cox_fleet_node {
  struct cox_fleet_node_options options;
  char id[32];
  struct cox_fleet_fault *faults[COX_FAULT_KINDS_LASTING]; /* NULL: not set */
  int two_services; /* status that the next GET state answers; 0: none */
  struct cox_fleet_call *first, *last; /* open calls in order of arrival */
  int64_t happened_us; /* when the last thing happened by itself */
  /* the process */
  bool is_up;
  bool is_quiet; /* about to end: accepts and answers nothing */
  unsigned starts;
  int64_t quiet_at_us, exit_at_us, back_at_us; /* COX_FLEET_NEVER: not coming */
  /* what it runs */
  enum cox_fleet_service service;
  bool is_silent; /* answers nothing until a stop is done */
  bool is_stop_wanted; /* an old node stops after its load */
  bool is_load_cut; /* the stop under way cut a load */
  int64_t stop_at_us;
  int64_t rested_at_us; /* a new node hangs when it is to load before this */
  struct cox_fleet_server server;
  struct cox_fleet_async async;
  struct cox_fleet_pow pow;
  const char *inference_pow; /* status of the proof of compute inside of the inference service (new nodes); NULL: idle */
  /* for the report */
  struct cox_fleet_count counts[COX_FLEET_ROUTES];
  int64_t first_call_us, last_call_us;
  unsigned mutating_open, mutating_open_max;
  uint64_t loads, pow_inits;
  json_t *last_init, *last_up, *last_train;
};

/* ---- fleet_route.c ---- */
extern const struct cox_fleet_route cox_fleet_routes[COX_FLEET_ROUTES];
/* Always one: the last stands for everything that is not known. */
const struct cox_fleet_route *cox_fleet_route_find(const char *method, const char *path);
/* Answers the call or lets it wait. */
void cox_fleet_route_handle(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
/* What it would answer, had it done it. */
json_t *cox_fleet_route_pretend(const struct cox_fleet_route *route);

/* ---- fleet_node.c ---- */
/* Decides the answer; takes `json`. */
void cox_fleet_answer(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, int status, json_t *json);
void cox_fleet_answer_text(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, int status, const char *text);
void cox_fleet_answer_detail(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, int status, const char *detail);
/* 422 about one field of the body. */
void cox_fleet_answer_invalid(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, const char *field, const char *why);
/* Prepares an answer that is given when what it waits for comes; takes `json`. `until_us` counts for COX_WAIT_TIME. */
void cox_fleet_wait(struct cox_fleet_call *call, enum cox_fleet_wait wait, int64_t until_us, int status, json_t *json);
/* Answers all calls that wait for that, with what was prepared. */
void cox_fleet_release(struct cox_fleet_node *node, enum cox_fleet_wait wait, int64_t at_us);
/* Handles the calls that wait for their turn. */
void cox_fleet_turn(struct cox_fleet_node *node, int64_t at_us);
/* Keeps a body for the report. */
void cox_fleet_keep(json_t **place, json_t *body);

/* ---- fleet_process.c: the end and the return of the process, and stops ---- */
/* It ends now and is back later. */
void cox_fleet_exit(struct cox_fleet_node *node, int64_t at_us, int64_t away_us);
void cox_fleet_back(struct cox_fleet_node *node, int64_t at_us);
/* Its backend is dead: the process will end, as the release does it. */
void cox_fleet_doom(struct cox_fleet_node *node, int64_t at_us);
/* From now on it answers nothing and then ends. */
void cox_fleet_quiet(struct cox_fleet_node *node, int64_t at_us);
/* Begins to stop what runs, or joins the stop under way. There must be something. */
void cox_fleet_stop(struct cox_fleet_node *node, int64_t at_us);
void cox_fleet_stopped(struct cox_fleet_node *node, int64_t at_us);
/* Forgets all services at once. */
void cox_fleet_clear(struct cox_fleet_node *node);

/* ---- fleet_inference.c ---- */
bool cox_fleet_is_healthy(const struct cox_fleet_node *node, int64_t at_us);
void cox_fleet_loaded(struct cox_fleet_node *node, int64_t at_us);
/* A stop came into a load of a new node. */
void cox_fleet_cut_load(struct cox_fleet_node *node, int64_t at_us);
void cox_fleet_up(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_up_async(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_up_status(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_down(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_health(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_models(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_chat(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);

/* ---- fleet_work.c: proof of compute and training ---- */
void cox_fleet_pow_generate(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_pow_validate(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_pow_status(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_pow_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_train_start(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_train_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_inner_generate(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_inner_stop(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);
void cox_fleet_inner_status(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us);

/* ---- fleet_report.c ---- */
const char *cox_fleet_service_name(enum cox_fleet_service service); /* as GET state says it */
/* What pow/status says. */
json_t *cox_fleet_pow_words(const struct cox_fleet_node *node, int64_t at_us);

#endif
