/* A fleet over real sockets: each node at its own port, and each fault as a client sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/thread.h"
#include "core/node_config.h"
#include "sim/sim.h"

enum { LIMIT_S = 20, BIG = 4 << 20 };

static struct cox_sim_fleet *fleet;

static void start(struct cox_sim_fleet_options options) {
  struct cox_err err = {0};
  if (options.count == 0) options.count = 3;
  fleet = cox_sim_fleet_create(&options, &err);
  if (fleet == NULL) fail_msg("%s", err.text);
}

static int stop(void **context) {
  (void)context;
  cox_sim_fleet_destroy(fleet);
  fleet = NULL;
  return 0;
}

static void fault(const char *spec) {
  struct cox_err err = {0};
  if (cox_sim_fleet_fault(fleet, spec, &err) != 0) fail_msg("%s", err.text);
}

/* ---- a client ---- */

struct reply {
  CURLcode code;
  long status;
  char *location;
  struct cox_buf body;
  double seconds;
};

static size_t keep(char *bytes, size_t size, size_t count, void *arg) {
  return cox_buf_add(arg, bytes, size * count) ? size * count : 0;
}

static struct reply ask_port(unsigned port, const char *path, const char *body, long timeout_ms) {
  struct reply reply = {.body.limit = BIG};
  char url[256];
  snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
  CURL *const curl = curl_easy_init();
  assert_non_null(curl);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
  if (body != NULL) curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
  reply.code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
  curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &reply.seconds);
  const char *location = NULL;
  curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
  reply.location = location != NULL ? strdup(location) : NULL;
  curl_easy_cleanup(curl);
  return reply;
}

static void reply_fini(struct reply *reply) {
  cox_buf_fini(&reply->body);
  free(reply->location);
}

/* Status of a node's answer, 0 when there was none; NULL body: GET. */
static long ask(unsigned index, const char *path, const char *body) {
  struct reply reply = ask_port(cox_sim_fleet_node_port(fleet, index, false), path, body, LIMIT_S * 1000);
  const long status = reply.code == CURLE_OK ? reply.status : 0;
  reply_fini(&reply);
  return status;
}

static json_t *get_json(unsigned port, const char *path) {
  struct reply reply = ask_port(port, path, NULL, LIMIT_S * 1000);
  assert_int_equal(reply.code, CURLE_OK);
  assert_int_equal(reply.status, 200);
  json_t *const json = json_loads(reply.body.data, 0, NULL);
  assert_non_null(json);
  reply_fini(&reply);
  return json;
}

static bool is_in_state(unsigned index, const char *state) {
  json_t *const json = get_json(cox_sim_fleet_node_port(fleet, index, false), "/api/v1/state");
  const bool is_same = strcmp(json_string_value(json_object_get(json, "state")), state) == 0;
  json_decref(json);
  return is_same;
}

static json_int_t reported(unsigned index, const char *key) {
  json_t *const report = cox_sim_fleet_report(fleet);
  const json_int_t value = json_integer_value(json_object_get(json_array_get(json_object_get(report, "nodes"), index), key));
  json_decref(report);
  return value;
}

/* A POST in a thread of its own. */
struct poster {
  struct cox_thread thread;
  unsigned port;
  const char *path, *body;
  long timeout_ms;
  struct reply reply;
};

static void post_run(void *arg) {
  struct poster *const poster = arg;
  poster->reply = ask_port(poster->port, poster->path, poster->body, poster->timeout_ms);
}

static void post_begin(struct poster *poster, unsigned index, const char *path, const char *body, long timeout_ms) {
  *poster = (struct poster){.port = cox_sim_fleet_node_port(fleet, index, false), .path = path, .body = body, .timeout_ms = timeout_ms};
  assert_int_equal(cox_thread_start(&poster->thread, "poster", post_run, poster, NULL), 0);
}

static struct reply *post_end(struct poster *poster) {
  cox_thread_join(&poster->thread);
  return &poster->reply;
}

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

/* Looks again until the node's report says so, with a limit. */
static void wait_for(unsigned index, const char *key, json_int_t value) {
  const int64_t until_us = now_us() + (int64_t)LIMIT_S * 1000000;
  while (reported(index, key) != value) {
    if (now_us() > until_us) fail_msg("node%u: %s is not %d in time", index + 1, key, (int)value);
    poll(NULL, 0, 5);
  }
}

/* ---- a client that can be rude ---- */

static int dial(unsigned port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0) return fd;
  close(fd);
  return -1;
}

static void say(int fd, const char *text) { assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)); }

/* What comes within the limit; 0: the end, -1: a reset. */
static ssize_t hear(int fd, char *out, size_t room) {
  struct pollfd line = {.fd = fd, .events = POLLIN};
  if (poll(&line, 1, LIMIT_S * 1000) <= 0) fail_msg("nothing was heard in time");
  const ssize_t count = recv(fd, out, room - 1, 0);
  out[count > 0 ? count : 0] = '\0';
  return count;
}

#define UP "{\"model\": \"m\", \"dtype\": \"auto\", \"additional_args\": []}"
#define STATE_REQUEST "GET /api/v1/state HTTP/1.1\r\nHost: x\r\n\r\n"
#define STOP_REQUEST "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"

/* ---- the specs ---- */

static void each_node_answers_at_its_own_port_and_lives_for_itself(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.count = 3});
  assert_int_equal(cox_sim_fleet_port(fleet), cox_sim_fleet_node_port(fleet, 0, false));
  assert_int_equal(ask(1, "/api/v1/inference/up", UP), 200);
  assert_true(is_in_state(0, "STOPPED"));
  assert_true(is_in_state(1, "INFERENCE"));
  assert_true(is_in_state(2, "STOPPED"));
  assert_int_equal(ask(1, "/api/v1/stop", ""), 200);
  assert_true(is_in_state(1, "STOPPED"));
}

static void its_nodes_are_a_valid_node_config(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.count = 2, .is_split = true, .model = "org/m", .max_concurrent = 7});
  json_t *const nodes = cox_sim_fleet_nodes(fleet);
  assert_int_equal(json_array_size(nodes), 2);
  size_t i;
  json_t *node;
  json_array_foreach(nodes, i, node) {
    struct cox_err err = {0};
    json_t *const config = cox_node_config_create(node, &err);
    if (config == NULL) fail_msg("%s", err.text);
    assert_int_equal(json_integer_value(json_object_get(config, "poc_port")), cox_sim_fleet_node_port(fleet, (unsigned)i, false));
    assert_int_equal(json_integer_value(json_object_get(config, "inference_port")), cox_sim_fleet_node_port(fleet, (unsigned)i, true));
    assert_int_equal(json_integer_value(json_object_get(config, "max_concurrent")), 7);
    assert_non_null(json_object_get(json_object_get(config, "models"), "org/m"));
    json_decref(config);
  }
  json_decref(nodes);
}

static void a_split_node_serves_at_its_inference_port(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.count = 2, .is_split = true, .is_old = true});
  const unsigned port = cox_sim_fleet_node_port(fleet, 1, true);
  struct reply before = ask_port(port, "/health", NULL, LIMIT_S * 1000);
  assert_int_equal(before.status, 503);
  reply_fini(&before);
  assert_int_equal(ask(1, "/api/v1/inference/up", UP), 200);
  json_decref(get_json(port, "/health"));
  struct reply chat = ask_port(port, "/v1/chat/completions", "{\"model\": \"m\", \"messages\": []}", LIMIT_S * 1000);
  assert_int_equal(chat.status, 200);
  assert_non_null(strstr(chat.body.data, "node2"));
  reply_fini(&chat);
}

static void a_fleet_of_both_releases_is_one_by_choice(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.count = 3, .old_nodes = "2-3"});
  json_t *state = get_json(cox_sim_fleet_node_port(fleet, 0, false), "/api/v1/state");
  assert_non_null(json_object_get(state, "version"));
  json_decref(state);
  state = get_json(cox_sim_fleet_node_port(fleet, 1, false), "/api/v1/state");
  assert_null(json_object_get(state, "version"));
  json_decref(state);
}

static void a_load_is_answered_when_it_is_done_and_others_are_meanwhile(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.load_ms = 400, .threads = 2});
  struct poster up;
  post_begin(&up, 0, "/api/v1/inference/up", UP, LIMIT_S * 1000);
  wait_for(0, "mutating_open", 1);
  assert_true(is_in_state(0, "INFERENCE"));
  assert_true(is_in_state(1, "STOPPED"));
  const struct reply *const reply = post_end(&up);
  assert_int_equal(reply->status, 200);
  assert_true(reply->seconds >= 0.39);
  assert_int_equal(reported(0, "mutating_open"), 0);
  reply_fini(&up.reply);
}

static void an_answer_comes_after_its_latency(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.latency_ms = 150});
  struct reply reply = ask_port(cox_sim_fleet_port(fleet), "/api/v1/state", NULL, LIMIT_S * 1000);
  assert_int_equal(reply.status, 200);
  assert_true(reply.seconds >= 0.149);
  reply_fini(&reply);
}

static void a_refused_port_refuses_and_listens_again(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.is_split = true});
  for (int round = 0; round < 3; round++) {
    fault("node2:refuse");
    for (int is_inference = 0; is_inference < 2; is_inference++) {
      struct reply reply = ask_port(cox_sim_fleet_node_port(fleet, 1, is_inference), "/api/v1/state", NULL, LIMIT_S * 1000);
      assert_int_equal(reply.code, CURLE_COULDNT_CONNECT);
      reply_fini(&reply);
    }
    assert_int_equal(ask(0, "/api/v1/state", NULL), 200);
    fault("node2:refuse=off");
    assert_int_equal(ask(1, "/api/v1/state", NULL), 200);
  }
}

static void a_restart_resets_all_connections_and_comes_back_empty(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.load_ms = 60000});
  struct poster up;
  post_begin(&up, 0, "/api/v1/inference/up", UP, LIMIT_S * 1000);
  wait_for(0, "mutating_open", 1);
  char text[1024];
  const int idle = dial(cox_sim_fleet_port(fleet));
  say(idle, STATE_REQUEST);
  assert_true(hear(idle, text, sizeof text) > 0);
  fault("node1:restart=0.2");
  assert_true(hear(idle, text, sizeof text) <= 0);
  close(idle);
  const struct reply *const reply = post_end(&up);
  assert_int_not_equal(reply->code, CURLE_OK);
  assert_int_not_equal(reply->code, CURLE_OPERATION_TIMEDOUT);
  reply_fini(&up.reply);
  wait_for(0, "starts", 2);
  assert_true(is_in_state(0, "STOPPED"));
}

static void a_closed_connection_is_a_reset_without_an_answer(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("close");
  char text[64];
  const int fd = dial(cox_sim_fleet_port(fleet));
  say(fd, STATE_REQUEST);
  assert_int_equal(hear(fd, text, sizeof text), -1);
  assert_int_equal(errno, ECONNRESET);
  close(fd);
}

static void half_a_header_is_followed_by_nothing(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("half_header");
  char text[256];
  const int fd = dial(cox_sim_fleet_port(fleet));
  say(fd, STATE_REQUEST);
  assert_true(hear(fd, text, sizeof text) > 0);
  assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
  assert_null(strstr(text, "\r\n\r\n"));
  struct pollfd line = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&line, 1, 100), 0);
  close(fd);
}

static void a_slow_body_comes_byte_by_byte_and_whole(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.is_old = true});
  fault("slow=10");
  struct reply reply = ask_port(cox_sim_fleet_port(fleet), "/api/v1/state", NULL, LIMIT_S * 1000);
  assert_int_equal(reply.code, CURLE_OK);
  assert_string_equal(reply.body.data, "{\"state\":\"STOPPED\"}");
  assert_true(reply.seconds >= 0.18);
  reply_fini(&reply);
}

static void a_huge_body_does_not_end(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("huge@state");
  struct reply reply = ask_port(cox_sim_fleet_port(fleet), "/api/v1/state", NULL, LIMIT_S * 1000);
  assert_int_equal(reply.code, CURLE_WRITE_ERROR); /* our limit */
  assert_true(reply.body.len > BIG / 2);
  reply_fini(&reply);
  fault("none");
  assert_true(is_in_state(0, "STOPPED"));
}

static void errors_lies_and_redirects_arrive_as_such(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("node1:error=502");
  fault("node2:lie=TRAIN");
  fault("node3:redirect=http://127.0.0.1:9/there");
  assert_int_equal(ask(0, "/api/v1/state", NULL), 502);
  assert_true(is_in_state(1, "TRAIN"));
  struct reply reply = ask_port(cox_sim_fleet_node_port(fleet, 2, false), "/api/v1/state", NULL, LIMIT_S * 1000);
  assert_int_equal(reply.status, 307);
  assert_string_equal(reply.location, "http://127.0.0.1:9/there");
  reply_fini(&reply);
  fault("none");
  fault("bad_json");
  reply = ask_port(cox_sim_fleet_port(fleet), "/api/v1/state", NULL, LIMIT_S * 1000);
  assert_int_equal(reply.status, 200);
  assert_null(json_loads(reply.body.data, 0, NULL));
  reply_fini(&reply);
}

static void silence_carries_the_call_out(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("silence@train/start");
  struct reply reply = ask_port(cox_sim_fleet_port(fleet), "/api/v1/train/start", "{\"train_config\": {}, \"train_env\": {}}", 200);
  assert_int_equal(reply.code, CURLE_OPERATION_TIMEDOUT);
  reply_fini(&reply);
  wait_for(0, "mutating_open", 0);
  assert_true(is_in_state(0, "TRAIN"));
}

/* A caller that closes its connection and asks anew has one call open, never two, however late its hang-up is seen. */
static void a_closed_call_is_not_open_when_the_next_one_comes(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("hang@stop");
  for (int i = 0; i < 200; i++) {
    const int fd = dial(cox_sim_fleet_port(fleet));
    say(fd, STOP_REQUEST);
    if (i % 2 == 0) wait_for(0, "mutating_open", 1);
    close(fd);
  }
  wait_for(0, "mutating_open", 0);
  assert_int_equal(reported(0, "mutating_open_max"), 1);
}

static void two_calls_that_are_open_at_once_are_told(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  fault("slow=60000@stop"); /* an answer that does not end counts as open */
  const int first = dial(cox_sim_fleet_port(fleet)), second = dial(cox_sim_fleet_port(fleet));
  say(first, STOP_REQUEST);
  wait_for(0, "mutating_open", 1);
  say(second, STOP_REQUEST);
  wait_for(0, "mutating_open", 2);
  close(first);
  close(second);
  wait_for(0, "mutating_open", 0);
  assert_int_equal(reported(0, "mutating_open_max"), 2);
  cox_sim_fleet_reset(fleet);
  assert_int_equal(reported(0, "mutating_open_max"), 0);
}

static void the_control_listener_reports_and_sets_faults(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.has_control = true});
  const unsigned port = cox_sim_fleet_control_port(fleet);
  assert_int_equal(ask(0, "/api/v1/state", NULL), 200);
  json_t *report = get_json(port, "/sim/nodes");
  const json_t *const node = json_array_get(json_object_get(report, "nodes"), 0);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(node, "calls"), "GET /api/v1/state")), 1);
  assert_int_equal(json_integer_value(json_object_get(report, "calls")), 1);
  const json_int_t at_ms = json_integer_value(json_object_get(node, "first_call_ms"));
  assert_in_range(at_ms, (uintmax_t)(cox_clock_wall_ms(cox_clock_system()) - 60000), (uintmax_t)(cox_clock_wall_ms(cox_clock_system()) + 1000));
  json_decref(report);
  static const struct {
    const char *path, *body;
    long status;
  } posts[] = {
      {"/sim/faults", "{\"faults\": [\"node1:error=503\", \"node2:refuse\"]}", 200},
      {"/sim/faults", "{\"faults\": [\"node1:none\", \"explode\"]}", 400}, /* all or none */
      {"/sim/faults", "{\"faults\": \"hang\"}", 400},
      {"/sim/faults", "nonsense", 400},
      {"/sim/faults", "{\"faults\": [], \"more\": 1}", 400},
      {"/sim/nodes", "{}", 405},
      {"/sim/nowhere", "{}", 404},
      {"/sim/reset", "", 200},
  };
  for (size_t i = 0; i < sizeof posts / sizeof posts[0]; i++) {
    struct reply reply = ask_port(port, posts[i].path, posts[i].body, LIMIT_S * 1000);
    assert_int_equal(reply.status, posts[i].status);
    reply_fini(&reply);
  }
  report = get_json(port, "/sim/nodes");
  assert_int_equal(json_integer_value(json_object_get(report, "calls")), 0);
  json_decref(report);
  assert_int_equal(ask(0, "/api/v1/state", NULL), 503);
  assert_int_equal(ask(1, "/api/v1/state", NULL), 0);
}

static void a_body_that_is_too_large_or_no_json_is_refused(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  const size_t size = (1 << 20) + 10;
  char *const body = malloc(size + 1);
  memset(body, 'x', size);
  body[size] = '\0';
  assert_int_equal(ask(0, "/api/v1/inference/up", body), 413);
  free(body);
  assert_int_equal(ask(0, "/api/v1/inference/up", "{\"model\": "), 422);
  assert_int_equal(ask(0, "/api/v2/state", NULL), 404);
}

static void rude_clients_leave_nothing_behind(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){.load_ms = 60000});
  static const char *const starts[] = {"", "GET", "GET /api/v1/state HTTP/1.1\r\nHo", "POST /api/v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
                                       "\r\n\r\n\r\n\001\002\003", STATE_REQUEST STATE_REQUEST STATE_REQUEST};
  for (size_t i = 0; i < 60; i++) {
    const int fd = dial(cox_sim_fleet_port(fleet));
    if (starts[i % 6][0] != '\0') say(fd, starts[i % 6]);
    close(fd);
  }
  assert_true(is_in_state(0, "STOPPED"));
  assert_int_equal(reported(0, "mutating_open"), 0);
}

static void the_end_of_the_fleet_resets_calls_that_are_open(void **context) {
  start((struct cox_sim_fleet_options){.load_ms = 60000, .has_control = true});
  fault("node2:slow=60000");
  fault("node3:half_header");
  int fds[3];
  for (unsigned i = 0; i < 3; i++) {
    fds[i] = dial(cox_sim_fleet_node_port(fleet, i, false));
    say(fds[i], i == 0 ? "POST /api/v1/inference/up HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}" : STOP_REQUEST);
    wait_for(i, "mutating_open", 1);
  }
  stop(context);
  for (int i = 0; i < 3; i++) {
    char text[1024];
    while (hear(fds[i], text, sizeof text) > 0) continue;
    close(fds[i]);
  }
}

static void what_cannot_be_started_says_why(void **context) {
  (void)context;
  start((struct cox_sim_fleet_options){0});
  const char *const bad_fault[] = {"explode", NULL};
  const struct {
    struct cox_sim_fleet_options options;
    const char *part;
  } cases[] = {
      {{.count = 0}, "give 1 to 10000"},
      {{.count = 10001}, "give 1 to 10000"},
      {{.count = 1, .port = cox_sim_fleet_port(fleet)}, "Address already in use"},
      {{.count = 2, .port = 65535}, "do not all exist"},
      {{.count = 1, .listen = "localhost"}, "no IPv4 address"},
      {{.count = 1, .faults = bad_fault}, "explode"},
      {{.count = 1, .load_ms = -1}, "load time"},
      {{.count = 1, .threads = 9}, "1 to 4 threads"},
      {{.count = 1, .old_nodes = "2"}, "names no nodes"},
      {{.count = 1, .has_control = true, .control_port = cox_sim_fleet_port(fleet)}, "for control"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct cox_err err = {0};
    assert_null(cox_sim_fleet_create(&cases[i].options, &err));
    if (strstr(err.text, cases[i].part) == NULL) fail_msg("case %zu says: %s", i, err.text);
  }
}

/* ---- chance ---- */

struct caller {
  struct cox_thread thread;
  struct cox_rng rng;
  unsigned answered;
};

/* One call at a time, some given up after milliseconds. */
static void call_around(void *arg) {
  static const char *const posts[] = {"/api/v1/stop", "/api/v1/inference/up", "/api/v1/pow/stop", "/api/v1/train/stop"};
  struct caller *const caller = arg;
  for (int i = 0; i < 150; i++) {
    const unsigned port = cox_sim_fleet_node_port(fleet, (unsigned)cox_rng_below(&caller->rng, 4), false);
    const size_t what = cox_rng_below(&caller->rng, 6);
    struct reply reply = what < 4 ? ask_port(port, posts[what], UP, 20 + (long)cox_rng_below(&caller->rng, 30))
                                  : ask_port(port, what == 4 ? "/api/v1/state" : "/v1/models", NULL, 50);
    caller->answered += reply.code == CURLE_OK;
    reply_fini(&reply);
  }
}

static void faults_that_come_and_go_under_load_leave_nothing_open(void **context) {
  (void)context;
  static const char *const specs[] = {"node1:hang", "node2:refuse", "node2:refuse=off", "3-4:slow=1", "restart=0", "node3:restart=0.02", "none",
                                      "node4:half_header", "huge", "none", "silence@stop", "load_fail", "close", "bad_json", "unhealthy", "none"};
  const uint64_t seed = cox_rng_system_seed();
  print_message("seed %llu\n", (unsigned long long)seed);
  start((struct cox_sim_fleet_options){.count = 4, .threads = 2, .latency_ms = 1, .load_ms = 5, .stop_ms = 5, .restart_ms = 5, .has_control = true});
  struct caller callers[4] = {0};
  for (size_t i = 0; i < 4; i++) {
    cox_rng_init(&callers[i].rng, seed + i);
    assert_int_equal(cox_thread_start(&callers[i].thread, "caller", call_around, &callers[i], NULL), 0);
  }
  struct cox_rng rng;
  cox_rng_init(&rng, seed + 4);
  for (int i = 0; i < 200; i++) {
    fault(specs[cox_rng_below(&rng, sizeof specs / sizeof specs[0])]);
    json_decref(cox_sim_fleet_report(fleet));
    poll(NULL, 0, 5);
  }
  unsigned answered = 0;
  for (size_t i = 0; i < 4; i++) {
    cox_thread_join(&callers[i].thread);
    answered += callers[i].answered;
  }
  assert_true(answered > 0);
  fault("none");
  fault("restart=0");
  for (unsigned i = 0; i < 4; i++) {
    wait_for(i, "mutating_open", 0);
    assert_true(is_in_state(i, "STOPPED"));
  }
}

static unsigned raised_files(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur < 100000 ? (unsigned)files.rlim_cur : 100000;
}

/* All at once and on fresh connections: what a change of phase asks of the fleet. */
static void a_thousand_nodes_are_stopped_and_started_at_once(void **context) {
  (void)context;
  const unsigned count = raised_files() >= 4096 ? 1000 : 100;
  start((struct cox_sim_fleet_options){.count = count, .latency_ms = 20, .load_ms = 30, .threads = 2});
  static const char *const requests[] = {STATE_REQUEST, STOP_REQUEST,
                                         "POST /api/v1/inference/up HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}"};
  int *const fds = calloc(count, sizeof *fds);
  for (size_t r = 0; r < 3; r++) {
    for (unsigned i = 0; i < count; i++) {
      fds[i] = dial(cox_sim_fleet_node_port(fleet, i, false));
      assert_true(fds[i] >= 0);
      say(fds[i], requests[r]);
    }
    for (unsigned i = 0; i < count; i++) {
      char text[1024];
      assert_true(hear(fds[i], text, sizeof text) > 0);
      assert_memory_equal(text, "HTTP/1.1 200", 12);
      close(fds[i]);
    }
  }
  free(fds);
  json_t *const report = cox_sim_fleet_report(fleet);
  assert_int_equal(json_integer_value(json_object_get(report, "calls")), count * 3);
  assert_int_equal(json_integer_value(json_object_get(report, "mutating_open_max")), 1);
  size_t i;
  json_t *node;
  json_array_foreach(json_object_get(report, "nodes"), i, node) {
    assert_string_equal(json_string_value(json_object_get(node, "state")), "INFERENCE");
    assert_int_equal(json_integer_value(json_object_get(node, "loads")), 1);
  }
  json_decref(report);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(each_node_answers_at_its_own_port_and_lives_for_itself, stop),
      cmocka_unit_test_teardown(its_nodes_are_a_valid_node_config, stop),
      cmocka_unit_test_teardown(a_split_node_serves_at_its_inference_port, stop),
      cmocka_unit_test_teardown(a_fleet_of_both_releases_is_one_by_choice, stop),
      cmocka_unit_test_teardown(a_load_is_answered_when_it_is_done_and_others_are_meanwhile, stop),
      cmocka_unit_test_teardown(an_answer_comes_after_its_latency, stop),
      cmocka_unit_test_teardown(a_refused_port_refuses_and_listens_again, stop),
      cmocka_unit_test_teardown(a_restart_resets_all_connections_and_comes_back_empty, stop),
      cmocka_unit_test_teardown(a_closed_connection_is_a_reset_without_an_answer, stop),
      cmocka_unit_test_teardown(half_a_header_is_followed_by_nothing, stop),
      cmocka_unit_test_teardown(a_slow_body_comes_byte_by_byte_and_whole, stop),
      cmocka_unit_test_teardown(a_huge_body_does_not_end, stop),
      cmocka_unit_test_teardown(errors_lies_and_redirects_arrive_as_such, stop),
      cmocka_unit_test_teardown(silence_carries_the_call_out, stop),
      cmocka_unit_test_teardown(a_closed_call_is_not_open_when_the_next_one_comes, stop),
      cmocka_unit_test_teardown(two_calls_that_are_open_at_once_are_told, stop),
      cmocka_unit_test_teardown(the_control_listener_reports_and_sets_faults, stop),
      cmocka_unit_test_teardown(a_body_that_is_too_large_or_no_json_is_refused, stop),
      cmocka_unit_test_teardown(rude_clients_leave_nothing_behind, stop),
      cmocka_unit_test_teardown(the_end_of_the_fleet_resets_calls_that_are_open, stop),
      cmocka_unit_test_teardown(what_cannot_be_started_says_why, stop),
      cmocka_unit_test_teardown(faults_that_come_and_go_under_load_leave_nothing_open, stop),
      cmocka_unit_test_teardown(a_thousand_nodes_are_stopped_and_started_at_once, stop),
  };
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const int failed = cmocka_run_group_tests(tests, NULL, NULL);
  curl_global_cleanup();
  return failed;
}
