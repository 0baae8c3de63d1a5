#include "api_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "core/txn.h"

enum { LIMIT_MS = 60000 };

static int lookup(void *ctx, const char *name, enum cox_priority *priority) {
  (void)ctx;
  static const char *const names[] = {"register_node", "update_node", "remove_node", "set_admin_state", "new_block", "echo",
                                      "skip", "arm", "armed", "serve", "hold", "broken", "endless", "refuse", "wrong", "missing"};
  *priority = COX_PRIORITY_HIGH;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], name) == 0) return 0;
  }
  return COX_ENOENT;
}

static double limit_s(void *ctx, const char *kind, enum cox_status status) {
  (void)ctx;
  (void)kind;
  (void)status;
  return 100;
}

static uint64_t generation(void *ctx) {
  (void)ctx;
  return 1;
}

static void hold(struct rig *rig) {
  cox_mutex_lock(&rig->mutex);
  rig->held++;
  cox_cond_broadcast(&rig->cond);
  while (rig->is_shut) cox_cond_wait(&rig->cond, &rig->mutex);
  rig->held--;
  cox_mutex_unlock(&rig->mutex);
}

static json_t *config_of(struct cox_txn *txn, int slot) {
  struct cox_txn_node node;
  if (slot < 0 || !cox_txn_read(txn, slot, &node)) return NULL;
  json_t *const config = json_copy(node.config);
  json_object_set_new(config, "node_num", json_integer(node.node_num));
  return config;
}

static int register_node(struct rig *rig, json_t *args, struct cox_txn *txn, json_t **result, struct cox_err *err) {
  if (rig->lost_races > 0) { /* somebody else was faster */
    rig->lost_races--;
    return cox_err_set(err, COX_EREFUSED, "registered already");
  }
  const int slot = cox_txn_register(txn, json_object_get(args, "node"), err);
  *result = config_of(txn, slot);
  return slot;
}

static int set_admin_state(json_t *args, struct cox_txn *txn, json_t **result, struct cox_err *err) {
  const char *const id = json_string_value(json_object_get(args, "node_id"));
  const bool is_enabled = json_is_true(json_object_get(args, "enabled"));
  const int rc = cox_txn_set_admin(txn, id, &(struct cox_admin){.is_enabled = is_enabled, .epoch = 7, .reason = json_object_get(args, "reason")}, err);
  *result = json_pack("{ss, sb, si}", "node_id", id, "enabled", (int)is_enabled, "epoch", 7);
  return rc;
}

/* Registers a node that shall serve its model. */
static int serve(json_t *args, struct cox_txn *txn, struct cox_err *err) {
  json_t *const node = json_object_get(args, "node");
  const int slot = cox_txn_register(txn, node, err);
  const char *const model = json_object_iter_key(json_object_iter(json_object_get(node, "models")));
  return slot < 0 ? slot : cox_txn_intend(txn, slot, cox_target_create(json_pack("{ss, ss}", "status", "INFERENCE", "model", model), NULL, err), err);
}

static int change(struct rig *rig, const char *name, json_t *args, struct cox_txn *txn, json_t **result, struct cox_err *err) {
  if (strcmp(name, "register_node") == 0) return register_node(rig, args, txn, result, err);
  if (strcmp(name, "set_admin_state") == 0) return set_admin_state(args, txn, result, err);
  if (strcmp(name, "update_node") == 0) {
    const int slot = cox_txn_update(txn, json_object_get(args, "node"), err);
    *result = config_of(txn, slot);
    return slot;
  }
  if (strcmp(name, "remove_node") == 0) {
    *result = json_pack("{sb}", "removed", (int)cox_txn_remove(txn, json_string_value(json_object_get(args, "node_id"))));
    return 0;
  }
  if (strcmp(name, "new_block") == 0 || strcmp(name, "arm") == 0) cox_txn_set_world(txn, args);
  if (strcmp(name, "arm") == 0) cox_txn_issue(txn, "armed");
  if (strcmp(name, "serve") == 0) return serve(args, txn, err);
  if (strcmp(name, "hold") == 0) hold(rig);
  if (strcmp(name, "echo") == 0) *result = json_incref(args);
  if (strcmp(name, "broken") == 0) return cox_err_at(err, COX_ESCRIPT, "commands/broken.lua", 12, "attempt to index nil");
  if (strcmp(name, "endless") == 0) return cox_err_at(err, COX_ETIME, "commands/endless.lua", 3, "ran longer than 100 ms");
  if (strcmp(name, "refuse") == 0) return cox_err_set(err, COX_EREFUSED, "not today");
  if (strcmp(name, "wrong") == 0) return cox_err_set(err, COX_EINVAL, "height must be an integer");
  if (strcmp(name, "missing") == 0) return cox_err_set(err, COX_ENOENT, "no such node");
  return 0;
}

static void run(void *ctx, const char *name, json_t *args, struct cox_txn *txn, struct cox_answer *answer) {
  if (strcmp(name, "skip") == 0) {
    answer->outcome = COX_ANSWER_SKIPPED;
    answer->reason = strdup("not in this phase");
    return;
  }
  const int rc = change(ctx, name, args, txn, &answer->result, &answer->err);
  if (rc >= 0) return;
  json_decref(answer->result);
  answer->result = NULL;
  answer->outcome = COX_ANSWER_ERROR;
  answer->err.code = rc;
}

/* Only after "arm": it succeeds at once. */
static void start(void *ctx, struct cox_attempt *attempt) { cox_broker_complete(((struct rig *)ctx)->broker, attempt); }

static void cancel(void *ctx, unsigned worker, uint64_t attempt) {
  (void)ctx;
  (void)worker;
  (void)attempt;
}

/* Everything is stored at once, nowhere. */
static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx, (void)err;
  batch->done(batch, NULL);
  return 0;
}

static void settle(void *ctx) { (void)ctx; }

struct rig *rig_create(const struct cox_api_options *options, size_t queue_max) {
  struct rig *const rig = calloc(1, sizeof *rig);
  cox_mutex_init(&rig->mutex);
  cox_cond_init(&rig->cond);
  rig->policy = (struct cox_policy){.ctx = rig, .lookup = lookup, .limit_s = limit_s, .run = run, .generation = generation};
  rig->transport = (struct cox_transport){.ctx = rig, .workers = 1, .start = start, .cancel = cancel};
  rig->store = (struct cox_store){.append = append, .settle = settle};
  const struct cox_broker_options broker = {.clock = cox_clock_system(), .seed = 1, .policy = &rig->policy,
                                            .transport = &rig->transport, .store = &rig->store, .queue_max = queue_max, .probe_interval_s = -1};
  struct cox_err err = {0};
  rig->broker = cox_broker_create(&broker, NULL);
  assert_int_equal(cox_broker_start(rig->broker, NULL), 0);
  if (options != NULL) rig->options = *options;
  if (rig->options.listen == NULL) rig->options.listen = "127.0.0.1:0";
  rig->options.broker = rig->broker;
  rig->api = cox_api_create(&rig->options, &err);
  if (rig->api == NULL) fail_msg("%s", err.text);
  return rig;
}

void rig_destroy(struct rig *rig) {
  rig_open(rig);
  cox_api_destroy(rig->api);
  cox_broker_stop(rig->broker, 10000);
  cox_broker_destroy(rig->broker);
  cox_cond_fini(&rig->cond);
  cox_mutex_fini(&rig->mutex);
  free(rig);
}

static void set_gate(struct rig *rig, bool is_shut) {
  cox_mutex_lock(&rig->mutex);
  rig->is_shut = is_shut;
  cox_cond_broadcast(&rig->cond);
  cox_mutex_unlock(&rig->mutex);
}

void rig_shut(struct rig *rig) { set_gate(rig, true); }
void rig_open(struct rig *rig) { set_gate(rig, false); }

void rig_wait_held(struct rig *rig) {
  cox_mutex_lock(&rig->mutex);
  while (rig->held == 0) assert_true(cox_cond_wait_us(&rig->cond, &rig->mutex, LIMIT_MS * 1000LL));
  cox_mutex_unlock(&rig->mutex);
}

static void command(struct rig *rig, const char *name, json_t *args) {
  struct cox_answer answer;
  assert_int_equal(cox_broker_call(rig->broker, name, args, LIMIT_MS, &answer, NULL), 0);
  assert_int_equal(answer.outcome, COX_ANSWER_DONE);
  cox_answer_fini(&answer);
  json_decref(args);
}

void rig_serve(struct rig *rig, const char *id, int port, int max_concurrent) {
  json_t *const node = json_loads(rig_node(id, port), 0, NULL);
  json_object_set_new(node, "max_concurrent", json_integer(max_concurrent));
  command(rig, "arm", json_pack("{si, ss, sb}", "height", port, "hash", "A", "synced", 1));
  command(rig, "serve", json_pack("{so}", "node", node));
  for (int i = 0; i < LIMIT_MS; i++) {
    json_t *const shown = cox_broker_node_json(rig->broker, id);
    const char *const status = json_string_value(json_object_get(json_object_get(shown, "state"), "current_status"));
    const bool serves = strcmp(status, "INFERENCE") == 0;
    json_decref(shown);
    if (serves) return;
    poll(NULL, 0, 1);
  }
  fail_msg("node %s does not serve", id);
}

int rig_connect(const struct rig *rig) {
  const struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((in_port_t)cox_api_port(rig->api)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof where), 0);
  return fd;
}

int rig_connect_locally(const struct rig *rig) {
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
  cox_api_adopt(rig->api, ends[1]);
  return ends[0];
}

static void send_bytes(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    const ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent <= 0) return; /* the other side has had enough: its answer tells */
    bytes += sent;
    count -= (size_t)sent;
  }
}

void rig_send(int fd, const char *bytes) { send_bytes(fd, bytes, strlen(bytes)); }

/* Bytes read, 0 at the end (or a reset). */
static size_t receive(int fd, char *bytes, size_t size) {
  struct pollfd event = {.fd = fd, .events = POLLIN};
  if (poll(&event, 1, LIMIT_MS) <= 0) fail_msg("nothing came within %d ms", LIMIT_MS);
  const ssize_t count = recv(fd, bytes, size, 0);
  return count > 0 ? (size_t)count : 0;
}

bool rig_is_cut(int fd) {
  char byte;
  return receive(fd, &byte, 1) == 0;
}

static bool read_head(int fd, struct cox_buf *head) {
  char byte;
  while (head->len < 4 || strcmp(head->data + head->len - 4, "\r\n\r\n") != 0) {
    if (receive(fd, &byte, 1) == 0) return false;
    cox_buf_add(head, &byte, 1);
  }
  return true;
}

static void read_body(int fd, size_t length, struct cox_buf *body) {
  char bytes[65536];
  while (body->len < length) {
    const size_t left = length - body->len, count = receive(fd, bytes, left < sizeof bytes ? left : sizeof bytes);
    if (count == 0) return;
    cox_buf_add(body, bytes, count);
  }
}

struct reply rig_read(int fd, bool has_body) {
  struct reply reply = {0};
  struct cox_buf head = {0}, body = {0};
  if (read_head(fd, &head)) {
    reply.status = atoi(head.data + strlen("HTTP/1.1 "));
    reply.head = head.data;
    const char *const length = reply_header(&reply, "Content-Length");
    if (has_body && length != NULL) read_body(fd, (size_t)atol(length), &body);
    reply.body = body.data != NULL ? body.data : strdup("");
    reply.json = json_loads(reply.body, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
  } else {
    cox_buf_fini(&head);
  }
  return reply;
}

struct reply rig_ask(const struct rig *rig, const char *method, const char *target, const char *headers, const char *body) {
  const int fd = rig_connect(rig);
  struct cox_buf bytes = {0};
  cox_buf_addf(&bytes, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, target, headers != NULL ? headers : "");
  if (body != NULL) cox_buf_addf(&bytes, "Content-Length: %zu\r\n", strlen(body));
  cox_buf_addf(&bytes, "\r\n%s", body != NULL ? body : "");
  send_bytes(fd, bytes.data, bytes.len);
  cox_buf_fini(&bytes);
  const struct reply reply = rig_read(fd, strcmp(method, "HEAD") != 0);
  close(fd);
  return reply;
}

int rig_status(const struct rig *rig, const char *method, const char *target, const char *body) {
  struct reply reply = rig_ask(rig, method, target, NULL, body);
  const int status = reply.status;
  reply_fini(&reply);
  return status;
}

void reply_fini(struct reply *reply) {
  free(reply->head);
  free(reply->body);
  json_decref(reply->json);
  memset(reply, 0, sizeof *reply);
}

const char *reply_error(const struct reply *reply) {
  const char *const text = json_string_value(json_object_get(reply->json, "error"));
  return text != NULL ? text : "";
}

const char *reply_header(const struct reply *reply, const char *name) {
  static char value[256];
  char start[64];
  snprintf(start, sizeof start, "\r\n%s: ", name);
  const char *const found = reply->head != NULL ? strcasestr(reply->head, start) : NULL;
  if (found == NULL) return NULL;
  const char *const text = found + strlen(start);
  snprintf(value, sizeof value, "%.*s", (int)strcspn(text, "\r"), text);
  return value;
}

const char *rig_node(const char *id, int port) {
  static char text[512];
  snprintf(text, sizeof text, "{\"id\":\"%s\",\"host\":\"10.0.0.1\",\"inference_port\":%d,\"poc_port\":%d,\"max_concurrent\":5,"
           "\"models\":{\"m\":{\"args\":[]}}}", id, port, port + 30000);
  return text;
}
