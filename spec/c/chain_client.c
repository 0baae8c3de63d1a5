#include "chain_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

json_t *chain_nodes(unsigned count) {
  json_t *const nodes = json_array();
  for (unsigned i = 1; i <= count; i++) {
    json_t *const models = json_pack("{s:{s:[s, s]}}", "shared", "args", "--max-model-len", "4096");
    if (i % 2 == 1) json_object_set_new(models, "m1", json_pack("{s:[]}", "args"));
    json_array_append_new(
        nodes, json_pack("{s:o, s:s, s:i, s:i, s:i, s:o}", "id", json_sprintf("node%u", i), "host", "127.0.0.1", "inference_port",
                         5000 + (int)i, "poc_port", 8000 + (int)i, "max_concurrent", 10, "models", models));
  }
  return nodes;
}

struct cox_sim_chain *chain_start(const struct cox_sim_chain_options *options) {
  struct cox_sim_chain_options own = *options;
  json_t *const nodes = options->nodes != NULL ? json_incref(options->nodes) : chain_nodes(3);
  struct cox_err err = {0};
  own.nodes = nodes;
  struct cox_sim_chain *const chain = cox_sim_chain_create(&own, &err);
  json_decref(nodes);
  if (chain == NULL) fail_msg("the chain did not start: %s", err.text);
  return chain;
}

/* ---- HTTP ---- */

static size_t on_body(char *bytes, size_t size, size_t count, void *out) {
  return out == NULL || cox_buf_add(out, bytes, size * count) ? size * count : 0;
}

long chain_http(unsigned port, const char *method, const char *path, const char *body, struct cox_buf *out) {
  CURL *const easy = curl_easy_init();
  char url[1024];
  snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)CHAIN_LIMIT_MS);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
  if (body != NULL) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
  const CURLcode code = curl_easy_perform(easy);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(easy);
  return code == CURLE_OK ? status : -(long)code;
}

json_t *chain_get(unsigned port, const char *path) {
  struct cox_buf text = {0};
  const long status = chain_http(port, "GET", path, NULL, &text);
  if (status != 200) fail_msg("GET %s: %ld %s", path, status, text.data != NULL ? text.data : "");
  json_t *const json = json_loads(text.data, 0, NULL);
  if (json == NULL) fail_msg("GET %s: no JSON: %.200s", path, text.data);
  cox_buf_fini(&text);
  return json;
}

json_t *chain_at(const json_t *root, const char *path) {
  char copy[256];
  snprintf(copy, sizeof copy, "%s", path);
  json_t *at = (json_t *)(uintptr_t)root;
  char *left = NULL;
  for (const char *key = strtok_r(copy, ".", &left); key != NULL && at != NULL; key = strtok_r(NULL, ".", &left)) {
    at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
  }
  return at;
}

const char *chain_text(const json_t *root, const char *path) {
  const char *const text = json_string_value(chain_at(root, path));
  return text != NULL ? text : "(none)";
}

/* ---- websocket ---- */

void chain_client_connect(struct chain_client *client, unsigned port) {
  const struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  *client = (struct chain_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  assert_true(client->fd >= 0);
  assert_int_equal(connect(client->fd, (const struct sockaddr *)&address, sizeof address), 0);
}

void chain_client_send_raw(struct chain_client *client, const void *bytes, size_t count) {
  const char *at = bytes;
  while (count > 0) {
    const ssize_t sent = send(client->fd, at, count, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) return; /* the other side has closed: what it said comes with the next read */
    if (sent < 0) continue;
    at += sent;
    count -= (size_t)sent;
  }
}

/* 1: more bytes; 0: time-out; -1: end of the stream. */
static int read_more(struct chain_client *client, int timeout_ms) {
  struct pollfd waiting = {.fd = client->fd, .events = POLLIN};
  int rc;
  do rc = poll(&waiting, 1, timeout_ms);
  while (rc < 0 && errno == EINTR);
  if (rc == 0) return 0;
  static char bytes[65536];
  const ssize_t count = recv(client->fd, bytes, sizeof bytes, 0);
  if (count <= 0) return -1;
  assert_true(cox_buf_add(&client->read, bytes, (size_t)count));
  return 1;
}

static void forget(struct cox_buf *buf, size_t count) {
  memmove(buf->data, buf->data + count, buf->len - count + 1);
  buf->len -= count;
}

int chain_client_shake(struct chain_client *client, const char *headers) {
  char request[1024];
  const int length = snprintf(request, sizeof request, "GET /websocket HTTP/1.1\r\nHost: chain\r\n%s\r\n", headers);
  chain_client_send_raw(client, request, (size_t)length);
  return chain_client_status(client);
}

int chain_client_status(struct chain_client *client) {
  char *end = NULL;
  while (client->read.data == NULL || (end = strstr(client->read.data, "\r\n\r\n")) == NULL) {
    if (read_more(client, CHAIN_LIMIT_MS) != 1) fail_msg("no whole answer to the handshake");
  }
  int status = 0;
  assert_int_equal(sscanf(client->read.data, "HTTP/1.1 %d", &status), 1);
  /* the key of RFC 6455 and what it must be answered with */
  if (status == 101) assert_non_null(strstr(client->read.data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  if (status == 101) assert_non_null(strcasestr(client->read.data, "Connection: upgrade"));
  forget(&client->read, (size_t)(end + 4 - client->read.data));
  return status;
}

void chain_client_open(struct chain_client *client, unsigned port) {
  chain_client_connect(client, port);
  assert_int_equal(chain_client_shake(client, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
                   101);
}

void chain_client_send(struct chain_client *client, int opcode, const void *payload, size_t count, bool is_masked) {
  static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
  uint8_t *const frame = calloc(1, count + 14);
  size_t bytes = 2;
  frame[0] = (uint8_t)(0x80 | opcode);
  frame[1] = (uint8_t)((is_masked ? 0x80 : 0) | (count < 126 ? count : 127));
  for (int i = 0; count >= 126 && i < 8; i++) frame[bytes++] = (uint8_t)((uint64_t)count >> (56 - 8 * i));
  for (int i = 0; is_masked && i < 4; i++) frame[bytes++] = mask[i];
  for (size_t i = 0; i < count; i++) frame[bytes++] = ((const uint8_t *)payload)[i] ^ (is_masked ? mask[i % 4] : 0);
  chain_client_send_raw(client, frame, bytes);
  free(frame);
}

void chain_client_say(struct chain_client *client, const char *text) { chain_client_send(client, CHAIN_TEXT, text, strlen(text), true); }

/* The bytes of head and payload of the frame that begins the buffer; 0: not known yet. */
static size_t measure(const struct cox_buf *buf, size_t *head_bytes) {
  const uint8_t *const bytes = (const uint8_t *)buf->data;
  if (buf->len < 2) return 0;
  assert_int_equal(bytes[0] & 0xF0, 0x80); /* whole, nothing reserved */
  assert_int_equal(bytes[1] & 0x80, 0);    /* a server never masks */
  const size_t form = bytes[1];
  const size_t more = form == 127 ? 8 : form == 126 ? 2 : 0;
  if (buf->len < 2 + more) return 0;
  size_t count = more == 0 ? form : 0;
  for (size_t i = 0; i < more; i++) count = count << 8 | bytes[2 + i];
  *head_bytes = 2 + more;
  return *head_bytes + count;
}

struct chain_frame chain_client_frame(struct chain_client *client, int timeout_ms) {
  struct chain_frame frame = {.opcode = CHAIN_NOTHING};
  size_t head = 0, whole;
  while ((whole = measure(&client->read, &head)) == 0 || client->read.len < whole) {
    const int rc = read_more(client, timeout_ms);
    if (rc == 1) continue;
    frame.opcode = rc == 0 ? CHAIN_NOTHING : CHAIN_END;
    return frame;
  }
  frame.opcode = client->read.data[0] & 0x0F;
  assert_true(cox_buf_add(&frame.payload, client->read.data + head, whole - head));
  forget(&client->read, whole);
  return frame;
}

json_t *chain_client_json(struct chain_client *client) {
  struct chain_frame frame = chain_client_frame(client, CHAIN_LIMIT_MS);
  assert_int_equal(frame.opcode, CHAIN_TEXT);
  json_t *const json = json_loadb(frame.payload.data, frame.payload.len, 0, NULL);
  assert_non_null(json);
  cox_buf_fini(&frame.payload);
  return json;
}

void chain_client_subscribe(struct chain_client *client, unsigned port) {
  chain_client_open(client, port);
  chain_client_say(client, "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"id\":\"1\",\"params\":[\"tm.event='NewBlock'\"]}");
  json_t *const answer = chain_client_json(client);
  assert_true(json_is_object(json_object_get(answer, "result")));
  assert_int_equal(json_object_size(json_object_get(answer, "result")), 0);
  json_decref(answer);
}

int64_t chain_client_height(struct chain_client *client) {
  json_t *const event = chain_client_json(client);
  const char *const text = chain_text(event, "result.data.value.block.header.height");
  const int64_t height = strtoll(text, NULL, 10);
  json_decref(event);
  return height;
}

bool chain_client_is_quiet(struct chain_client *client) {
  struct pollfd waiting = {.fd = client->fd, .events = POLLIN};
  return client->read.len == 0 && poll(&waiting, 1, 0) == 0;
}

int chain_client_drain(struct chain_client *client) {
  int code = 0;
  while (true) {
    struct chain_frame frame = chain_client_frame(client, CHAIN_LIMIT_MS);
    if (frame.opcode == CHAIN_CLOSE && frame.payload.len >= 2)
      code = (uint8_t)frame.payload.data[0] << 8 | (uint8_t)frame.payload.data[1];
    cox_buf_fini(&frame.payload);
    if (frame.opcode == CHAIN_NOTHING) fail_msg("the stream does not end");
    if (frame.opcode == CHAIN_END) return code;
    if (frame.opcode == CHAIN_CLOSE) chain_client_send(client, CHAIN_CLOSE, "\x03\xe8", 2, true);
  }
}

void chain_client_close(struct chain_client *client) {
  if (client->fd >= 0) close(client->fd);
  cox_buf_fini(&client->read);
  client->fd = -1;
}
