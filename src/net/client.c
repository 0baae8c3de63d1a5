/* The blocking exchange of command-line clients with the daemon. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/net.h"

enum { TIMEOUT_MS = 30000, CONNECT_MS = 5000 };

static size_t on_body(char *bytes, size_t size, size_t count, void *user) {
  return cox_buf_add(user, bytes, size * count) ? size * count : 0;
}

/* Of the answer's headers only the ETag is wanted. */
static size_t on_header(char *bytes, size_t size, size_t count, void *user) {
  static const char name[] = "ETag:";
  char *const etag = user;
  const size_t len = size * count;
  if (len <= sizeof name || strncasecmp(bytes, name, sizeof name - 1) != 0) return len;
  const char *start = bytes + sizeof name - 1, *end = bytes + len;
  while (start < end && *start == ' ') start++;
  while (end > start && (end[-1] == '\r' || end[-1] == '\n')) end--;
  if (end - start < COX_CLIENT_ETAG_MAX) snprintf(etag, COX_CLIENT_ETAG_MAX, "%.*s", (int)(end - start), start);
  return len;
}

static const char *place(const struct cox_client *client) {
  return client->unix_socket != NULL ? client->unix_socket : client->base_url;
}

/* "name: value"; false: out of memory. */
static bool add_header(struct curl_slist **out, const char *name, const char *value) {
  struct cox_buf line = {0};
  struct curl_slist *const longer = cox_buf_addf(&line, "%s: %s", name, value) ? curl_slist_append(*out, line.data) : NULL;
  cox_buf_fini(&line);
  if (longer != NULL) *out = longer;
  return longer != NULL;
}

/* Content type, "no 100-continue", the token and the condition. False: out of memory. */
static bool make_headers(const struct cox_client *client, const char *body, struct curl_slist **out) {
  const char *fixed[] = {body != NULL ? "Content-Type: application/json" : "Content-Type:", "Expect:"};
  for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
    struct curl_slist *const longer = curl_slist_append(*out, fixed[i]);
    if (longer == NULL) return false;
    *out = longer;
  }
  if (client->if_match != NULL && !add_header(out, "If-Match", client->if_match)) return false;
  if (client->token == NULL) return true;
  struct cox_buf bearer = {0};
  const bool is_added = cox_buf_addf(&bearer, "Bearer %s", client->token) && add_header(out, "Authorization", bearer.data);
  cox_buf_fini(&bearer);
  return is_added;
}

/* False: out of memory, for texts are copied. Without one of them the request would go somewhere else, or ask for something else. */
static bool set_options(CURL *easy, const struct cox_client *client, const char *method, const char *body, struct cox_buf *out) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(client->timeout_ms > 0 ? client->timeout_ms : TIMEOUT_MS));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
  if (client->etag != NULL) {
    client->etag[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, client->etag);
  }
  if (body != NULL || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body != NULL ? strlen(body) : 0));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body != NULL ? body : "");
  }
  return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK && /* the daemon is near; a proxy of the environment is not meant for it */
         curl_easy_setopt(easy, CURLOPT_USERAGENT, "coxswain") == CURLE_OK &&
         (client->ca_file == NULL || curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file) == CURLE_OK) &&
         (client->unix_socket == NULL || curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_socket) == CURLE_OK) &&
         curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

/* Words for others' servers: whoever asked knows what they mean for him. */
static int fail_foreign(CURLcode code, long os_errno, const struct cox_client *client, const char *why, struct cox_err *err) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      if (os_errno == ECONNREFUSED) return cox_err_set(err, COX_ENOENT, "refuses connections");
      return cox_err_set(err, COX_ENOENT, "cannot be reached (%s)", os_errno != 0 ? strerror((int)os_errno) : why);
    case CURLE_COULDNT_RESOLVE_HOST: return cox_err_set(err, COX_ENOENT, "has a name that cannot be resolved");
    case CURLE_OPERATION_TIMEDOUT:
      return cox_err_set(err, COX_ETIME, "gave no whole answer within %g s", (client->timeout_ms > 0 ? client->timeout_ms : TIMEOUT_MS) / 1000.0);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return cox_err_set(err, COX_EINVAL, "is not an http address");
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR: return cox_err_set(err, COX_ESYS, "closed the connection without a whole answer");
    case CURLE_WRITE_ERROR: return cox_err_set(err, COX_EFULL, "gave an answer that is too large");
    default: return cox_err_set(err, COX_ESYS, "cannot be asked (%s)", why);
  }
}

static int fail(CURL *easy, CURLcode code, const struct cox_client *client, const char *method, const char *path,
                const char *detail, struct cox_err *err) {
  long os_errno = 0;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
  const char *const why = detail[0] != '\0' ? detail : curl_easy_strerror(code);
  if (client->is_foreign) return fail_foreign(code, os_errno, client, why, err);
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      if (os_errno == EACCES || os_errno == EPERM)
        return cox_err_set(err, COX_ESYS, "connecting to the daemon at %s failed: %s; run as the daemon's user", place(client),
                           strerror((int)os_errno));
      return cox_err_set(err, COX_ENOENT, "no daemon at %s: start one with `coxswain run -c FILE`", place(client));
    case CURLE_COULDNT_RESOLVE_HOST:
      return cox_err_set(err, COX_ENOENT, "no daemon at %s: the name could not be resolved; check the address", place(client));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return cox_err_set(err, COX_EINVAL, "%s%s is not an http address (%s)", client->base_url, path, why);
    case CURLE_PEER_FAILED_VERIFICATION:
      return cox_err_set(err, COX_ESYS, "the certificate of the daemon at %s is not to be trusted: %s; give the certificates that vouch for it "
                         "with --ca FILE or admin.tls.ca", place(client), why);
    case CURLE_SSL_CACERT_BADFILE:
      return cox_err_set(err, COX_ESYS, "the certificates to trust cannot be read from %s: %s",
                         client->ca_file != NULL ? client->ca_file : "the system's store", why);
    case CURLE_SSL_CONNECT_ERROR:
      return cox_err_set(err, COX_ESYS, "no TLS with the daemon at %s: %s; does it speak plain http?", place(client), why);
    case CURLE_OPERATION_TIMEDOUT:
      return cox_err_set(err, COX_ETIME, "%s %s at %s: no whole answer in time (%s); is the daemon overloaded or stopped?", method, path,
                         place(client), why);
    case CURLE_WRITE_ERROR:
      return cox_err_set(err, COX_EFULL, "%s %s at %s: the answer is larger than can be taken", method, path, place(client));
    default: return cox_err_set(err, COX_ESYS, "%s %s at %s failed: %s", method, path, place(client), why);
  }
}

static int perform(CURL *easy, const struct cox_client *client, const char *method, const char *path, const char *body,
                   struct cox_buf *out, struct cox_err *err) {
  struct cox_buf url = {0};
  struct curl_slist *headers = NULL;
  char detail[CURL_ERROR_SIZE] = "";
  int rc = cox_err_set(err, COX_ENOMEM, "%s %s failed: out of memory", method, path);
  if (!cox_buf_addf(&url, "%s%s", client->base_url, path) || !make_headers(client, body, &headers)) goto out;
  if (!set_options(easy, client, method, body, out)) goto out;
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  if (curl_easy_setopt(easy, CURLOPT_URL, url.data) != CURLE_OK) goto out;
  const CURLcode code = curl_easy_perform(easy);
  if (code != CURLE_OK) {
    rc = fail(easy, code, client, method, path, detail, err);
    goto out;
  }
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (err != NULL) *err = (struct cox_err){0};
  rc = (int)status;
out:
  curl_slist_free_all(headers);
  cox_buf_fini(&url);
  return rc;
}

static int call(const struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
                struct cox_err *err) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return cox_err_set(err, COX_ESYS, "preparing libcurl failed");
  CURL *const easy = curl_easy_init();
  const int rc = easy != NULL ? perform(easy, client, method, path, body, out, err)
                              : cox_err_set(err, COX_ENOMEM, "%s %s failed: out of memory", method, path);
  curl_easy_cleanup(easy);
  curl_global_cleanup();
  return rc;
}

void cox_net_client(struct cox_client *client) { client->call = call; }
