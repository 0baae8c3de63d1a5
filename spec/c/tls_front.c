#include "tls_front.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"

enum { PEERS_MAX = 64, TURN_MS = 20 };

/* ---- certificates ---- */

static void write_text(const char *path, gnutls_datum_t text) {
  FILE *const file = fopen(path, "w");
  assert_non_null(file);
  fwrite(text.data, 1, text.size, file);
  fclose(file);
  gnutls_free(text.data);
}

void tls_write_pair(const char *name, const char *cert_path, const char *key_path) {
  gnutls_x509_privkey_t private;
  gnutls_x509_crt_t own;
  gnutls_datum_t text;
  static unsigned char serial;
  serial++;
  gnutls_x509_privkey_init(&private);
  assert_int_equal(gnutls_x509_privkey_generate(private, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
  gnutls_x509_crt_init(&own);
  gnutls_x509_crt_set_version(own, 3);
  gnutls_x509_crt_set_serial(own, &serial, 1);
  gnutls_x509_crt_set_activation_time(own, time(NULL) - 3600);
  gnutls_x509_crt_set_expiration_time(own, time(NULL) + 3600);
  gnutls_x509_crt_set_dn_by_oid(own, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
  gnutls_x509_crt_set_subject_alt_name(own, GNUTLS_SAN_IPADDRESS, "\x7f\0\0\x01", 4, GNUTLS_FSAN_SET);
  gnutls_x509_crt_set_basic_constraints(own, 1, 0);
  gnutls_x509_crt_set_key(own, private);
  assert_int_equal(gnutls_x509_crt_sign2(own, own, private, GNUTLS_DIG_SHA256, 0), 0);
  gnutls_x509_crt_export2(own, GNUTLS_X509_FMT_PEM, &text);
  write_text(cert_path, text);
  gnutls_x509_privkey_export2_pkcs8(private, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &text);
  write_text(key_path, text);
  gnutls_x509_crt_deinit(own);
  gnutls_x509_privkey_deinit(private);
}

/* ---- the front ---- */

struct peer {
  struct cox_thread thread;
  struct tls_front *front;
  int fd;
};

struct tls_front {
  int fd;
  unsigned port, behind;
  gnutls_certificate_credentials_t credentials;
  atomic_bool is_stopping;
  struct cox_thread thread;
  struct peer peers[PEERS_MAX];
  size_t count;
};

static struct sockaddr_in local(unsigned port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int reach(unsigned port) {
  const struct sockaddr_in address = local(port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

/* False: one of the two sides has ended. */
static bool hand_in(gnutls_session_t session, int plain) {
  char bytes[16384];
  do {
    const ssize_t count = gnutls_record_recv(session, bytes, sizeof bytes);
    if (count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED) continue;
    if (count <= 0) return false;
    for (ssize_t done = 0; done < count;) {
      const ssize_t sent = send(plain, bytes + done, (size_t)(count - done), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      done += sent;
    }
  } while (gnutls_record_check_pending(session) > 0);
  return true;
}

static bool hand_out(gnutls_session_t session, int plain) {
  char bytes[16384];
  const ssize_t count = recv(plain, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  for (ssize_t done = 0; done < count;) {
    const ssize_t sent = gnutls_record_send(session, bytes + done, (size_t)(count - done));
    if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED) continue;
    if (sent <= 0) return false;
    done += sent;
  }
  return true;
}

static void pump(struct peer *peer, gnutls_session_t session, int plain) {
  struct pollfd sides[] = {{.fd = peer->fd, .events = POLLIN}, {.fd = plain, .events = POLLIN}};
  while (!atomic_load(&peer->front->is_stopping)) {
    if (poll(sides, 2, TURN_MS) <= 0) continue;
    if (sides[0].revents != 0 && !hand_in(session, plain)) return;
    if (sides[1].revents != 0 && !hand_out(session, plain)) return;
  }
}

static void serve(void *arg) {
  struct peer *const peer = arg;
  gnutls_session_t session;
  gnutls_init(&session, GNUTLS_SERVER);
  gnutls_set_default_priority(session);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, peer->front->credentials);
  gnutls_transport_set_int(session, peer->fd);
  int rc;
  do {
    rc = gnutls_handshake(session); /* a client that does not believe us ends it */
  } while (rc < 0 && gnutls_error_is_fatal(rc) == 0);
  const int plain = rc == 0 ? reach(peer->front->behind) : -1;
  if (plain >= 0) pump(peer, session, plain);
  if (plain >= 0) close(plain);
  gnutls_deinit(session);
  shutdown(peer->fd, SHUT_RDWR); /* closed when it is joined: its number is still in use */
}

static void accept_all(void *arg) {
  struct tls_front *const front = arg;
  struct pollfd door = {.fd = front->fd, .events = POLLIN};
  while (!atomic_load(&front->is_stopping)) {
    if (poll(&door, 1, TURN_MS) <= 0) continue;
    const int fd = accept4(front->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) continue;
    if (front->count == PEERS_MAX) {
      close(fd);
      continue;
    }
    struct peer *const peer = &front->peers[front->count++];
    *peer = (struct peer){.front = front, .fd = fd};
    cox_thread_start(&peer->thread, "tls-peer", serve, peer, NULL);
  }
}

struct tls_front *tls_front_create(const char *cert_path, const char *key_path, unsigned port) {
  struct tls_front *const front = calloc(1, sizeof *front);
  struct sockaddr_in address = local(0);
  socklen_t size = sizeof address;
  front->behind = port;
  assert_int_equal(gnutls_certificate_allocate_credentials(&front->credentials), 0);
  assert_int_equal(gnutls_certificate_set_x509_key_file(front->credentials, cert_path, key_path, GNUTLS_X509_FMT_PEM), 0);
  front->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(front->fd, (const struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(front->fd, 16), 0);
  assert_int_equal(getsockname(front->fd, (struct sockaddr *)&address, &size), 0);
  front->port = ntohs(address.sin_port);
  assert_int_equal(cox_thread_start(&front->thread, "tls-front", accept_all, front, NULL), 0);
  return front;
}

unsigned tls_front_port(const struct tls_front *front) { return front->port; }

void tls_front_destroy(struct tls_front *front) {
  if (front == NULL) return;
  atomic_store(&front->is_stopping, true);
  cox_thread_join(&front->thread);
  for (size_t i = 0; i < front->count; i++) {
    shutdown(front->peers[i].fd, SHUT_RDWR);
    cox_thread_join(&front->peers[i].thread);
    close(front->peers[i].fd);
  }
  close(front->fd);
  gnutls_certificate_free_credentials(front->credentials);
  free(front);
}
