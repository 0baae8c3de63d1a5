/* TLS for specs: certificates made on the spot, and a front that speaks TLS before a server that does not. */
#ifndef SPEC_TLS_FRONT_H
#define SPEC_TLS_FRONT_H

struct tls_front;

/* Writes a self-signed certificate for 127.0.0.1 with that common name, and its key, as PEM files. */
void tls_write_pair(const char *name, const char *cert_path, const char *key_path);

/* Listens on a free port of 127.0.0.1 and hands on every byte to `port` of it and back. */
struct tls_front *tls_front_create(const char *cert_path, const char *key_path, unsigned port);
unsigned tls_front_port(const struct tls_front *front);
/* Ends all connections. NULL is allowed. */
void tls_front_destroy(struct tls_front *front);

#endif
