#include "api/tls.h"

#include <stdlib.h>
#include <string.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"

enum {
  CHAIN_MAX = 16,
  LINGER_S = 600 /* a pair may still be in use by handshakes that began before a reload; they are cut after seconds */
};

/* A certificate with its chain, and its key. Immutable once it is live. */
struct pair {
  struct pair *older;
  gnutls_pcert_st certs[CHAIN_MAX];
  unsigned count;
  gnutls_privkey_t key;
  int64_t retired_us; /* 0: live */
};

struct cox_tls {
  char *cert_path, *key_path; /* owned */
  struct cox_mutex mutex;     /* guards the list */
  struct pair *live;          /* and those before it, until they have lingered */
};

static void destroy_pair(struct pair *pair) {
  if (pair == NULL) return;
  for (unsigned i = 0; i < pair->count; i++) gnutls_pcert_deinit(&pair->certs[i]);
  if (pair->key != NULL) gnutls_privkey_deinit(pair->key);
  free(pair);
}

static int fault(struct cox_err *err, const char *what, const char *path, int rc) {
  return cox_err_set(err, COX_EINVAL, "%s %s cannot be used: %s", what, path, gnutls_strerror(rc));
}

static int read_certs(struct pair *pair, const char *path, struct cox_err *err) {
  gnutls_datum_t text = {0};
  unsigned count = CHAIN_MAX;
  int rc = gnutls_load_file(path, &text);
  if (rc != 0) return cox_err_set(err, COX_EINVAL, "admin.tls.cert %s cannot be read: is it there, and may the daemon read it?", path);
  rc = gnutls_pcert_list_import_x509_raw(pair->certs, &count, &text, GNUTLS_X509_FMT_PEM, 0);
  gnutls_free(text.data);
  if (rc != 0) return fault(err, "admin.tls.cert", path, rc);
  pair->count = count;
  return 0;
}

static int read_key(struct pair *pair, const char *path, struct cox_err *err) {
  gnutls_datum_t text = {0};
  int rc = gnutls_load_file(path, &text);
  if (rc != 0) return cox_err_set(err, COX_EINVAL, "admin.tls.key %s cannot be read: is it there, and may the daemon read it?", path);
  rc = gnutls_privkey_init(&pair->key);
  if (rc == 0) rc = gnutls_privkey_import_x509_raw(pair->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
  gnutls_memset(text.data, 0, text.size);
  gnutls_free(text.data);
  return rc == 0 ? 0 : fault(err, "admin.tls.key", path, rc);
}

static bool is_key_of(const struct pair *pair) {
  unsigned char own[64], certs[64];
  size_t own_size = sizeof own, cert_size = sizeof certs;
  gnutls_pubkey_t public = NULL;
  const bool is_known = gnutls_pubkey_init(&public) == 0 && gnutls_pubkey_import_privkey(public, pair->key, 0, 0) == 0 &&
                        gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, own, &own_size) == 0 &&
                        gnutls_pubkey_get_key_id(pair->certs[0].pubkey, GNUTLS_KEYID_USE_SHA256, certs, &cert_size) == 0;
  if (public != NULL) gnutls_pubkey_deinit(public);
  return is_known && own_size == cert_size && memcmp(own, certs, own_size) == 0;
}

static int read_pair(const struct cox_tls *tls, struct pair **out, struct cox_err *err) {
  struct pair *const pair = calloc(1, sizeof *pair);
  if (pair == NULL) return cox_err_set(err, COX_ENOMEM, "reading admin.tls failed: out of memory");
  int rc = read_certs(pair, tls->cert_path, err);
  if (rc == 0) rc = read_key(pair, tls->key_path, err);
  if (rc == 0 && !is_key_of(pair)) {
    rc = cox_err_set(err, COX_EINVAL, "admin.tls.key %s is not the key of the certificate in admin.tls.cert %s", tls->key_path,
                     tls->cert_path);
  }
  if (rc == 0) *out = pair;
  else destroy_pair(pair);
  return rc;
}

int cox_tls_create(struct cox_tls **out, const char *cert_path, const char *key_path, struct cox_err *err) {
  struct cox_tls *const tls = calloc(1, sizeof *tls);
  if (tls == NULL) return cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
  cox_mutex_init(&tls->mutex);
  tls->cert_path = strdup(cert_path);
  tls->key_path = key_path != NULL ? strdup(key_path) : NULL;
  int rc = 0;
  if (key_path == NULL) rc = cox_err_set(err, COX_EINVAL, "admin.tls.key is missing: name the file with the key of admin.tls.cert");
  else if (tls->cert_path == NULL || tls->key_path == NULL) rc = cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
  else rc = read_pair(tls, &tls->live, err);
  if (rc == 0) *out = tls;
  else cox_tls_destroy(tls);
  return rc;
}

void cox_tls_destroy(struct cox_tls *tls) {
  if (tls == NULL) return;
  for (struct pair *pair = tls->live, *older; pair != NULL; pair = older) {
    older = pair->older;
    destroy_pair(pair);
  }
  free(tls->cert_path);
  free(tls->key_path);
  cox_mutex_fini(&tls->mutex);
  free(tls);
}

/* Those that nobody can be using any more; a list of them. */
static struct pair *drop_old_locked(struct cox_tls *tls, int64_t now_us) COX_REQUIRES(tls->mutex) {
  struct pair *pair = tls->live;
  while (pair->older != NULL && (pair->older->retired_us == 0 || pair->older->retired_us > now_us - LINGER_S * 1000000LL)) pair = pair->older;
  struct pair *const dropped = pair->older;
  pair->older = NULL;
  return dropped;
}

int cox_tls_reload(struct cox_tls *tls, struct cox_err *err) {
  struct pair *fresh;
  const int rc = read_pair(tls, &fresh, err);
  if (rc != 0) return rc;
  const int64_t now_us = cox_clock_mono_us(cox_clock_system());
  cox_mutex_lock(&tls->mutex);
  fresh->older = tls->live;
  tls->live->retired_us = now_us;
  tls->live = fresh;
  struct pair *dropped = drop_old_locked(tls, now_us);
  cox_mutex_unlock(&tls->mutex);
  while (dropped != NULL) {
    struct pair *const older = dropped->older;
    destroy_pair(dropped);
    dropped = older;
  }
  cox_log(COX_LOG_INFO, "api", "certificate read again", "cert", tls->cert_path, NULL);
  return 0;
}

int cox_tls_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs, unsigned *cert_count,
                     gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags) {
  (void)info;
  const struct cox_connection *const connection = cox_connection_of(gnutls_session_get_ptr(session));
  if (connection == NULL) return -1;
  struct cox_tls *const tls = COX_CONTAINER(connection->owner, struct cox_api, connections)->tls;
  cox_mutex_lock(&tls->mutex);
  struct pair *const pair = tls->live;
  cox_mutex_unlock(&tls->mutex);
  *certs = pair->certs;
  *cert_count = pair->count;
  *key = pair->key;
  *ocsp = NULL;
  *ocsp_count = 0;
  *flags = 0; /* the pair stays ours */
  return 0;
}
