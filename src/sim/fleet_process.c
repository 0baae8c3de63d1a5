/* How a node's process ends and comes back, and how what it runs is stopped. */
#include "sim/fleet_node_private.h"

enum {
  DOOM_S = 6,          /* of unhealthiness, until the process ends (old) or falls silent (new) */
  QUIET_S = 35,        /* a new process accepts and answers nothing before it ends */
  REST_S = 5,          /* after a load that was cut, before a new node may load again */
  TRAIN_STUCK_S = 5,   /* a stop waits so long for training to die */
};

void cox_fleet_clear(struct cox_fleet_node *node) {
  json_decref(node->server.asked);
  json_decref(node->pow.asked);
  node->service = COX_SERVICE_STOPPED;
  node->is_silent = node->is_stop_wanted = node->is_load_cut = node->is_quiet = false;
  node->stop_at_us = node->quiet_at_us = COX_FLEET_NEVER;
  node->server = (struct cox_fleet_server){.load_at_us = COX_FLEET_NEVER, .healthy_at_us = COX_FLEET_NEVER};
  node->async = (struct cox_fleet_async){.status = "not_started"};
  node->pow = (struct cox_fleet_pow){0};
  node->inference_pow = NULL;
}

static void reset_calls(struct cox_fleet_node *node, int64_t at_us) {
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    call->manner = COX_MANNER_RESET;
    call->is_muted = call->is_garbled = false;
    cox_fleet_answer(node, call, at_us - node->options.latency_us, 0, NULL);
  }
}

void cox_fleet_exit(struct cox_fleet_node *node, int64_t at_us, int64_t away_us) {
  cox_fleet_clear(node);
  reset_calls(node, at_us);
  node->is_up = false;
  node->exit_at_us = COX_FLEET_NEVER;
  node->rested_at_us = 0;
  node->back_at_us = at_us + away_us;
}

void cox_fleet_back(struct cox_fleet_node *node, int64_t at_us) {
  (void)at_us;
  node->back_at_us = COX_FLEET_NEVER;
  node->is_up = true;
  node->starts++;
}

void cox_fleet_quiet(struct cox_fleet_node *node, int64_t at_us) {
  node->quiet_at_us = COX_FLEET_NEVER;
  node->is_quiet = true;
  node->exit_at_us = at_us + (int64_t)QUIET_S * COX_FLEET_SECOND_US;
}

void cox_fleet_doom(struct cox_fleet_node *node, int64_t at_us) {
  node->server.is_failed = true;
  node->server.healthy_at_us = COX_FLEET_NEVER;
  int64_t *const end_us = node->options.is_old ? &node->exit_at_us : &node->quiet_at_us;
  *end_us = at_us + (int64_t)DOOM_S * COX_FLEET_SECOND_US;
}

void cox_fleet_stop(struct cox_fleet_node *node, int64_t at_us) {
  const bool is_loading = node->server.load_at_us != COX_FLEET_NEVER;
  if (node->stop_at_us != COX_FLEET_NEVER || node->is_stop_wanted) return;
  if (node->options.is_old && is_loading) {
    node->is_stop_wanted = node->is_silent = true;
    return;
  }
  if (is_loading) {
    cox_fleet_cut_load(node, at_us);
    node->is_load_cut = true;
  }
  /* A new node that is stopped in time does not end; an old one does. */
  node->quiet_at_us = COX_FLEET_NEVER;
  const bool is_stuck = node->service == COX_SERVICE_TRAIN && node->faults[COX_FAULT_TRAIN_STUCK] != NULL;
  node->is_silent = node->options.is_old || node->service != COX_SERVICE_INFERENCE;
  node->stop_at_us = at_us + (is_stuck ? (int64_t)TRAIN_STUCK_S * COX_FLEET_SECOND_US : node->options.stop_us);
}

static void not_stopped(struct cox_fleet_node *node, int64_t at_us) {
  node->stop_at_us = COX_FLEET_NEVER;
  node->is_silent = false;
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == COX_WAIT_STOP) cox_fleet_answer_detail(node, call, at_us, 500, "training process did not stop within 5 s");
  }
  cox_fleet_turn(node, at_us);
}

void cox_fleet_stopped(struct cox_fleet_node *node, int64_t at_us) {
  if (node->service == COX_SERVICE_TRAIN && node->faults[COX_FAULT_TRAIN_STUCK] != NULL) {
    not_stopped(node, at_us);
    return;
  }
  if (node->is_load_cut) node->rested_at_us = at_us + (int64_t)REST_S * COX_FLEET_SECOND_US;
  cox_fleet_clear(node);
  cox_fleet_release(node, COX_WAIT_STOP, at_us);
  cox_fleet_turn(node, at_us);
}
