/* A fleet of simulated ML nodes over HTTP: its addresses, its shards, and what its owner may ask of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/fleet_control.h"
#include "sim/fleet_shard.h"
#include "sim/sim.h"

enum {
  SHARDS_MAX = 4,
  FILES_OWN = 64, /* descriptors for everything but the listeners: at least this many connections */
  RESTART_MS = 10000,
  MAX_CONCURRENT = 100,
  TIME_MAX_MS = 86400000,
};

struct cox_sim_fleet {
  struct cox_sim_fleet_options options; /* strings are not kept but for the next two */
  char address[INET_ADDRSTRLEN];
  char model[128];
  struct cox_fleet_seat *seats;
  unsigned shard_count; /* started */
  struct cox_fleet_shard shards[SHARDS_MAX];
  struct MHD_Daemon *control;
  int64_t wall_offset_ms; /* wall time − monotonic time */
};

static struct cox_fleet_shard *shard_of(struct cox_sim_fleet *fleet, unsigned index) { return &fleet->shards[index % fleet->shard_count]; }

/* ---- options ---- */

static int check_times(const struct cox_sim_fleet_options *options, struct cox_err *err) {
  const struct {
    const char *name;
    int64_t value;
  } times[] = {{"latency", options->latency_ms},   {"load", options->load_ms},           {"stop", options->stop_ms},
               {"init", options->init_ms},         {"pow_load", options->pow_load_ms},   {"health_lag", options->health_lag_ms},
               {"restart", options->restart_ms}};
  for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
    if (times[i].value >= 0 && times[i].value <= TIME_MAX_MS) continue;
    return cox_err_set(err, COX_EINVAL, "starting simulated nodes failed: the %s time must be from 0 to %d ms, not %lld", times[i].name,
                       TIME_MAX_MS, (long long)times[i].value);
  }
  return 0;
}

static int check_options(const struct cox_sim_fleet_options *options, struct cox_err *err) {
  const unsigned listeners = options->count * (options->is_split ? 2 : 1);
  if (options->count < 1 || options->count > COX_SIM_FLEET_MAX) {
    return cox_err_set(err, COX_EINVAL, "starting %u simulated nodes failed: give 1 to %d", options->count, COX_SIM_FLEET_MAX);
  }
  if (options->port > 65535 || (options->port != 0 && options->port + listeners - 1 > 65535)) {
    return cox_err_set(err, COX_EINVAL, "starting simulated nodes failed: the ports %u to %u do not all exist; choose a lower first port",
                       options->port, options->port + listeners - 1);
  }
  if (options->control_port > 65535 || options->threads > SHARDS_MAX) {
    return cox_err_set(err, COX_EINVAL, "starting simulated nodes failed: %s", options->threads > SHARDS_MAX ?
                       "give 1 to 4 threads" : "the control port must be from 0 to 65535");
  }
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < (rlim_t)listeners + FILES_OWN) {
    return cox_err_set(err, COX_EFULL, "starting %u simulated nodes failed: %u open files are needed at least, %llu are allowed; "
                       "raise the limit (ulimit -n) or start fewer nodes", options->count, listeners + FILES_OWN,
                       (unsigned long long)files.rlim_cur);
  }
  return check_times(options, err);
}

/* ---- addresses ---- */

static int bind_socket(const struct cox_sim_fleet *fleet, unsigned port, unsigned *bound) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, fleet->address, &at.sin_addr);
  socklen_t size = sizeof at;
  const int one = 1;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || getsockname(fd, (struct sockaddr *)&at, &size) != 0) {
    const int why = errno;
    close(fd);
    errno = why;
    return -1;
  }
  *bound = ntohs(at.sin_port);
  return fd;
}

/* A port that was bound by number stays bound when its listener is shut down; one that the kernel chose does not. So a
 * free port is found by one socket and bound by a second before the first lets it go.                                 */
static int bind_free(const struct cox_sim_fleet *fleet, unsigned *bound) {
  const int scout = bind_socket(fleet, 0, bound);
  if (scout < 0) return -1;
  const int fd = bind_socket(fleet, *bound, bound);
  const int why = errno;
  close(scout);
  errno = why;
  return fd;
}

static int bind_seat(struct cox_sim_fleet *fleet, unsigned index, struct cox_err *err) {
  struct cox_fleet_seat *const seat = &fleet->seats[index];
  const unsigned which_count = fleet->options.is_split ? 2 : 1;
  for (unsigned which = 0; which < which_count; which++) {
    const unsigned wanted = fleet->options.port == 0 ? 0 : fleet->options.port + which * fleet->options.count + index;
    const int fd = wanted == 0 ? bind_free(fleet, &seat->port[which]) : bind_socket(fleet, wanted, &seat->port[which]);
    if (fd < 0) {
      return cox_err_set(err, COX_ESYS, "taking %s:%u for node%u failed: %s; choose another port", fleet->address, wanted, index + 1,
                         strerror(errno));
    }
    seat->listen_fd[which] = fd;
  }
  if (which_count == 1) seat->port[1] = seat->port[0];
  return 0;
}

/* ---- nodes ---- */

static int choose_old(const struct cox_sim_fleet_options *options, struct cox_fleet_choice *choice, struct cox_err *err) {
  *choice = (struct cox_fleet_choice){.first = 1, .last = options->is_old ? options->count : 0};
  if (options->old_nodes == NULL) return 0;
  char spec[64];
  struct cox_fleet_fault unused;
  const size_t length = strlen(options->old_nodes);
  if (length + sizeof ":none" <= sizeof spec) {
    memcpy(spec, options->old_nodes, length);
    memcpy(spec + length, ":none", sizeof ":none");
    if (cox_fleet_fault_parse(spec, options->count, choice, &unused, NULL) == 0) return 0;
  }
  return cox_err_set(err, COX_EINVAL, "starting simulated nodes failed: \"%s\" names no nodes of the old release; give node7, 1-50 or 20%%",
                     options->old_nodes);
}

static int create_nodes(struct cox_sim_fleet *fleet, const struct cox_sim_fleet_options *options, struct cox_err *err) {
  struct cox_fleet_choice old;
  if (choose_old(options, &old, err) != 0) return COX_EINVAL;
  const int64_t restart_ms = options->restart_ms != 0 ? options->restart_ms : RESTART_MS;
  struct cox_fleet_node_options node = {
      .is_split = options->is_split,          .latency_us = options->latency_ms * 1000,
      .load_us = options->load_ms * 1000,     .stop_us = options->stop_ms * 1000,
      .init_us = options->init_ms * 1000,     .pow_load_us = options->pow_load_ms * 1000,
      .restart_us = restart_ms * 1000,        .health_lag_us = options->health_lag_ms * 1000,
  };
  for (unsigned i = 0; i < options->count; i++) {
    char id[32];
    snprintf(id, sizeof id, "node%u", i + 1);
    node.id = id;
    node.is_old = cox_fleet_choice_has(&old, i + 1, options->seed);
    fleet->seats[i].node = cox_fleet_node_create(&node);
    if (fleet->seats[i].node == NULL) return cox_err_set(err, COX_ENOMEM, "starting simulated nodes failed: out of memory");
  }
  return 0;
}

/* ---- faults ---- */

static int set_one(struct cox_sim_fleet *fleet, const struct cox_fleet_choice *choice, const struct cox_fleet_fault *fault,
                   struct cox_err *err) {
  bool is_done = true;
  for (unsigned i = 0; i < fleet->options.count; i++) {
    if (!cox_fleet_choice_has(choice, i + 1, fleet->options.seed)) continue;
    struct cox_fleet_shard *const shard = shard_of(fleet, i);
    cox_mutex_lock(&shard->mutex);
    is_done &= cox_fleet_node_fault(fleet->seats[i].node, fault, cox_clock_mono_us(cox_clock_system()));
    fleet->seats[i].is_dirty = true;
    cox_mutex_unlock(&shard->mutex);
  }
  return is_done ? 0 : cox_err_set(err, COX_ENOMEM, "setting a fault failed on some nodes: out of memory");
}

int cox_fleet_set_faults(struct cox_sim_fleet *fleet, const char *const *specs, size_t count, struct cox_err *err) {
  struct cox_fleet_choice choice;
  struct cox_fleet_fault fault;
  for (size_t i = 0; i < count; i++) {
    if (cox_fleet_fault_parse(specs[i], fleet->options.count, &choice, &fault, err) != 0) return COX_EINVAL;
  }
  int rc = 0;
  for (size_t i = 0; i < count && rc == 0; i++) {
    cox_fleet_fault_parse(specs[i], fleet->options.count, &choice, &fault, NULL);
    rc = set_one(fleet, &choice, &fault, err);
  }
  for (unsigned i = 0; i < fleet->shard_count; i++) cox_fleet_shard_apply(&fleet->shards[i]);
  return rc;
}

int cox_sim_fleet_fault(struct cox_sim_fleet *fleet, const char *spec, struct cox_err *err) {
  return cox_fleet_set_faults(fleet, &spec, 1, err);
}

static size_t spec_count(const char *const *specs) {
  size_t count = 0;
  while (specs != NULL && specs[count] != NULL) count++;
  return count;
}

/* ---- start and stop ---- */

static struct cox_sim_fleet *allocate(const struct cox_sim_fleet_options *options) {
  struct cox_sim_fleet *const fleet = calloc(1, sizeof *fleet);
  if (fleet == NULL) return NULL;
  fleet->options = *options;
  fleet->seats = calloc(options->count, sizeof *fleet->seats);
  fleet->wall_offset_ms = cox_clock_wall_ms(cox_clock_system()) - cox_clock_mono_us(cox_clock_system()) / 1000;
  for (unsigned i = 0; fleet->seats != NULL && i < options->count; i++) {
    fleet->seats[i] = (struct cox_fleet_seat){.listen_fd = {-1, -1}, .first_line = -1, .starts = 1, .armed_us = INT64_MAX};
  }
  if (fleet->seats != NULL) return fleet;
  cox_sim_fleet_destroy(fleet);
  return NULL;
}

static int copy_names(struct cox_sim_fleet *fleet, const struct cox_sim_fleet_options *options, struct cox_err *err) {
  struct in_addr parsed;
  const char *const listen = options->listen != NULL ? options->listen : "127.0.0.1";
  const char *const model = options->model != NULL ? options->model : "Qwen/Qwen2.5-7B-Instruct";
  if (inet_pton(AF_INET, listen, &parsed) != 1) {
    return cox_err_set(err, COX_EINVAL, "starting simulated nodes failed: \"%s\" is no IPv4 address such as 127.0.0.1", listen);
  }
  if (model[0] == '\0' || strlen(model) >= sizeof fleet->model) {
    return cox_err_set(err, COX_EINVAL, "starting simulated nodes failed: the model's name must have 1 to %zu bytes",
                       sizeof fleet->model - 1);
  }
  strcpy(fleet->address, listen);
  strcpy(fleet->model, model);
  return 0;
}

static int start_shards(struct cox_sim_fleet *fleet, struct cox_err *err) {
  const unsigned count = fleet->options.threads != 0 ? fleet->options.threads : 1;
  for (unsigned i = 0; i < count; i++) {
    struct cox_fleet_shard *const shard = &fleet->shards[i];
    *shard = (struct cox_fleet_shard){.seats = fleet->seats, .seat_count = fleet->options.count, .first_seat = i, .step = count,
                                      .clock = cox_clock_system()};
    const int rc = cox_fleet_shard_start(shard, i, err);
    if (rc != 0) return rc;
    fleet->shard_count++;
  }
  return 0;
}

static int start(struct cox_sim_fleet *fleet, const struct cox_sim_fleet_options *options, struct cox_err *err) {
  int rc = copy_names(fleet, options, err);
  if (rc == 0) rc = create_nodes(fleet, options, err);
  for (unsigned i = 0; rc == 0 && i < options->count; i++) rc = bind_seat(fleet, i, err);
  if (rc == 0) rc = start_shards(fleet, err);
  if (rc == 0) rc = cox_fleet_set_faults(fleet, options->faults, spec_count(options->faults), err);
  if (rc != 0 || !options->has_control) return rc;
  fleet->control = cox_fleet_control_start(fleet, fleet->address, options->control_port, err);
  return fleet->control != NULL ? 0 : COX_ESYS;
}

struct cox_sim_fleet *cox_sim_fleet_create(const struct cox_sim_fleet_options *options, struct cox_err *err) {
  if (check_options(options, err) != 0) return NULL;
  struct cox_sim_fleet *const fleet = allocate(options);
  if (fleet == NULL) {
    cox_err_set(err, COX_ENOMEM, "starting simulated nodes failed: out of memory");
    return NULL;
  }
  if (start(fleet, options, err) == 0) return fleet;
  cox_sim_fleet_destroy(fleet);
  return NULL;
}

void cox_sim_fleet_destroy(struct cox_sim_fleet *fleet) {
  if (fleet == NULL) return;
  cox_fleet_control_stop(fleet->control);
  for (unsigned i = 0; i < fleet->shard_count; i++) cox_fleet_shard_stop(&fleet->shards[i]);
  for (unsigned i = 0; fleet->seats != NULL && i < fleet->options.count; i++) {
    cox_fleet_node_destroy(fleet->seats[i].node);
    for (int which = 0; which < 2; which++) {
      if (fleet->seats[i].listen_fd[which] >= 0) close(fleet->seats[i].listen_fd[which]);
    }
  }
  free(fleet->seats);
  free(fleet);
}

/* ---- what it tells ---- */

unsigned cox_sim_fleet_port(const struct cox_sim_fleet *fleet) { return fleet->seats[0].port[0]; }

unsigned cox_sim_fleet_node_port(const struct cox_sim_fleet *fleet, unsigned index, bool is_inference) {
  return index < fleet->options.count ? fleet->seats[index].port[is_inference ? 1 : 0] : 0;
}

unsigned cox_sim_fleet_control_port(const struct cox_sim_fleet *fleet) { return cox_fleet_control_port(fleet->control); }

json_t *cox_sim_fleet_nodes(const struct cox_sim_fleet *fleet) {
  json_t *const list = json_array();
  const unsigned concurrent = fleet->options.max_concurrent != 0 ? fleet->options.max_concurrent : MAX_CONCURRENT;
  for (unsigned i = 0; i < fleet->options.count; i++) {
    const struct cox_fleet_seat *const seat = &fleet->seats[i];
    json_array_append_new(list, json_pack("{so ss si si si s{s{s[]}}}", "id", json_sprintf("node%u", i + 1), "host", fleet->address,
                          "inference_port", (int)seat->port[1], "poc_port", (int)seat->port[0], "max_concurrent", (int)concurrent, "models",
                          fleet->model, "args"));
  }
  return list;
}

static json_t *report_node(struct cox_sim_fleet *fleet, unsigned index) {
  struct cox_fleet_shard *const shard = shard_of(fleet, index);
  const struct cox_fleet_seat *const seat = &fleet->seats[index];
  cox_mutex_lock(&shard->mutex);
  json_t *const node = cox_fleet_node_report(seat->node, cox_clock_mono_us(cox_clock_system()), fleet->wall_offset_ms);
  cox_mutex_unlock(&shard->mutex);
  json_object_set_new(node, "port", json_integer(seat->port[0]));
  json_object_set_new(node, "inference_port", json_integer(seat->port[1]));
  return node;
}

json_t *cox_sim_fleet_report(struct cox_sim_fleet *fleet) {
  json_t *const list = json_array();
  json_int_t most = 0, sum = 0;
  for (unsigned i = 0; i < fleet->options.count; i++) {
    json_t *const node = report_node(fleet, i);
    const json_int_t open_max = json_integer_value(json_object_get(node, "mutating_open_max"));
    if (open_max > most) most = open_max;
    const char *name;
    json_t *calls;
    json_object_foreach(json_object_get(node, "calls"), name, calls) sum += json_integer_value(calls);
    json_array_append_new(list, node);
  }
  return json_pack("{so sI sI}", "nodes", list, "mutating_open_max", most, "calls", sum);
}

void cox_sim_fleet_reset(struct cox_sim_fleet *fleet) {
  for (unsigned i = 0; i < fleet->options.count; i++) {
    struct cox_fleet_shard *const shard = shard_of(fleet, i);
    cox_mutex_lock(&shard->mutex);
    cox_fleet_node_reset_counts(fleet->seats[i].node);
    cox_mutex_unlock(&shard->mutex);
  }
}
