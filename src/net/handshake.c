#include "net/handshake.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

void cox_handshake_key(char out[COX_HANDSHAKE_KEY_BYTES]) {
  unsigned char chance[16] = {0};
  /* Its only purpose is that caches do not take the answer for an old one: a short read would do as well. */
  if (getrandom(chance, sizeof chance, 0) < 0) memset(chance, 0, sizeof chance);
  EVP_EncodeBlock((unsigned char *)out, chance, sizeof chance);
}

void cox_handshake_accept(const char *key, char out[COX_HANDSHAKE_ACCEPT_BYTES]) {
  char text[COX_HANDSHAKE_KEY_BYTES + 40];
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned count = 0;
  const int length = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  EVP_Digest(text, (size_t)length, digest, &count, EVP_sha1(), NULL);
  assert(count == 20);
  EVP_EncodeBlock((unsigned char *)out, digest, 20);
}

/* Length of the scheme with "://", 0: none that is spoken here. */
static size_t scheme_of(const char *url, bool *is_secure) {
  static const char *const schemes[] = {"ws://", "http://", "wss://", "https://"};
  for (size_t i = 0; i < 4; i++) {
    const size_t length = strlen(schemes[i]);
    *is_secure = i >= 2;
    if (strncasecmp(url, schemes[i], length) == 0) return length;
  }
  return 0;
}

bool cox_handshake_http_url(const char *url, struct cox_buf *out) {
  bool is_secure;
  const size_t scheme = scheme_of(url, &is_secure);
  return scheme > 0 && cox_buf_addf(out, "%s%s", is_secure ? "https://" : "http://", url + scheme);
}

bool cox_handshake_request(const char *url, const char *key, struct cox_buf *out) {
  bool is_secure;
  const size_t scheme = scheme_of(url, &is_secure);
  if (scheme == 0 || strpbrk(url, " \t\r\n") != NULL) return false;
  const char *host = url + scheme;
  const size_t authority = strcspn(host, "/?#");
  const char *const path = host + authority;
  size_t skipped = 0; /* user and password */
  for (size_t i = 0; i < authority; i++) {
    if (host[i] == '@') skipped = i + 1;
  }
  if (authority == skipped) return false;
  return cox_buf_addf(out, "GET %s%.*s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nUser-Agent: coxswain\r\n\r\n",
                      *path == '/' ? "" : "/", (int)strcspn(path, "#"), path, (int)(authority - skipped), host + skipped, key);
}

/* The value of a header line, trimmed; false: there is no such line. `head` is NUL-terminated and ends with an empty line. */
static bool header_value(const char *head, const char *name, char *out, size_t size) {
  const size_t length = strlen(name);
  for (const char *line = strstr(head, "\r\n"); line != NULL && line[2] != '\0'; line = strstr(line + 2, "\r\n")) {
    const char *at = line + 2;
    if (strncasecmp(at, name, length) != 0 || at[length] != ':') continue;
    at += length + 1;
    at += strspn(at, " \t");
    size_t count = strcspn(at, "\r\n");
    while (count > 0 && (at[count - 1] == ' ' || at[count - 1] == '\t')) count--;
    snprintf(out, size, "%.*s", (int)count, at);
    return true;
  }
  return false;
}

static enum cox_handshake judge(const char *head, const char *key, int *status, char why[COX_HANDSHAKE_WHY_MAX]) {
  if (strncmp(head, "HTTP/1.", 7) != 0 || strlen(head) < 12) {
    snprintf(why, COX_HANDSHAKE_WHY_MAX, "was answered with something that is no HTTP");
    return COX_HANDSHAKE_REFUSED;
  }
  *status = atoi(head + 9);
  if (*status != 101) {
    snprintf(why, COX_HANDSHAKE_WHY_MAX, "was answered %d and not 101: no websocket is spoken there", *status);
    return COX_HANDSHAKE_REFUSED;
  }
  char value[128], accept[COX_HANDSHAKE_ACCEPT_BYTES];
  cox_handshake_accept(key, accept);
  if (!header_value(head, "Sec-WebSocket-Accept", value, sizeof value) || strcmp(value, accept) != 0) {
    snprintf(why, COX_HANDSHAKE_WHY_MAX, "was answered with a wrong Sec-WebSocket-Accept: something between us answers for others");
    return COX_HANDSHAKE_REFUSED;
  }
  if (!header_value(head, "Upgrade", value, sizeof value) || strcasecmp(value, "websocket") != 0) {
    snprintf(why, COX_HANDSHAKE_WHY_MAX, "was answered without Upgrade: websocket");
    return COX_HANDSHAKE_REFUSED;
  }
  return COX_HANDSHAKE_DONE;
}

enum cox_handshake cox_handshake_read(const char *bytes, size_t count, const char *key, size_t *used, int *status,
                                      char why[COX_HANDSHAKE_WHY_MAX]) {
  *status = 0;
  const char *const end = memmem(bytes, count, "\r\n\r\n", 4);
  const size_t length = end != NULL ? (size_t)(end - bytes) + 4 : count;
  if (end == NULL && count < COX_HANDSHAKE_ANSWER_MAX) return COX_HANDSHAKE_UNFINISHED;
  if (length > COX_HANDSHAKE_ANSWER_MAX || end == NULL) {
    snprintf(why, COX_HANDSHAKE_WHY_MAX, "was answered with a header larger than %d bytes", COX_HANDSHAKE_ANSWER_MAX);
    return COX_HANDSHAKE_REFUSED;
  }
  char *const head = strndup(bytes, length);
  if (head == NULL) {
    snprintf(why, COX_HANDSHAKE_WHY_MAX, "was answered, but memory is at its end");
    return COX_HANDSHAKE_REFUSED;
  }
  const enum cox_handshake outcome = judge(head, key, status, why);
  free(head);
  *used = length;
  return outcome;
}
