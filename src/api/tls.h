/* The certificate of the API and its key, which may change while connections come. */
#ifndef COX_API_TLS_H
#define COX_API_TLS_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "base/err.h"

struct cox_tls;

#define COX_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* 0, or COX_EINVAL with the file and what is wrong with it. */
int cox_tls_create(struct cox_tls **out, const char *cert_path, const char *key_path, struct cox_err *err);
/* No connection may be left. */
void cox_tls_destroy(struct cox_tls *tls);
/* Reads the same files again. On failure the present ones go on. */
int cox_tls_reload(struct cox_tls *tls, struct cox_err *err);
/* GnuTLS asks, for each new connection (gnutls_certificate_retrieve_function3). */
int cox_tls_retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs, unsigned *cert_count,
                     gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags);

#endif
