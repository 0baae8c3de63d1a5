#include "wallet/key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <secp256k1.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct cox_key {
  secp256k1_context *context;
  unsigned char secret[COX_KEY_SECRET], public_key[COX_KEY_PUBLIC];
};

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct cox_key *cox_key_create(const unsigned char secret[COX_KEY_SECRET], struct cox_err *err) {
  struct cox_key *const key = calloc(1, sizeof *key);
  unsigned char chance[32] = {0};
  secp256k1_pubkey point;
  size_t count = COX_KEY_PUBLIC;
  if (key != NULL) key->context = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
  if (key == NULL || key->context == NULL) {
    cox_err_set(err, COX_ENOMEM, "making a key failed: out of memory");
    goto fail;
  }
  /* Blinds what the processor's timing could tell. */
  if (getrandom(chance, sizeof chance, 0) != (ssize_t)sizeof chance || secp256k1_context_randomize(key->context, chance) != 1) {
    cox_err_set(err, COX_ESYS, "making a key failed: the system gives no chance numbers");
    goto fail;
  }
  memcpy(key->secret, secret, COX_KEY_SECRET);
  if (secp256k1_ec_pubkey_create(key->context, &point, key->secret) != 1) {
    cox_err_set(err, COX_EINVAL, "it is no key of secp256k1: 0, or not below the order of the curve");
    goto fail;
  }
  secp256k1_ec_pubkey_serialize(key->context, key->public_key, &count, &point, SECP256K1_EC_COMPRESSED);
  assert(count == COX_KEY_PUBLIC);
  return key;
fail:
  cox_key_destroy(key);
  return NULL;
}

void cox_key_destroy(struct cox_key *key) {
  if (key == NULL) return;
  OPENSSL_cleanse(key->secret, sizeof key->secret);
  if (key->context != NULL) secp256k1_context_destroy(key->context);
  free(key);
}

/* ---- the file ---- */

static int open_checked(const char *path, struct cox_err *err) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    cox_err_set(err, errno == ENOENT ? COX_ENOENT : COX_ESYS, "reading the key file %s failed: %s", path, strerror(errno));
    return -1;
  }
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    cox_err_set(err, COX_EINVAL, "the key file %s is no regular file", path);
  } else if ((status.st_mode & 0177) != 0) {
    cox_err_set(err, COX_EINVAL, "the key file %s has mode %04o: others could read or use it; run chmod 600 %s", path,
                (unsigned)(status.st_mode & 07777), path);
  } else if (status.st_uid != geteuid() && geteuid() != 0) {
    cox_err_set(err, COX_EINVAL, "the key file %s belongs to another user than this process", path);
  } else {
    return fd;
  }
  close(fd);
  return -1;
}

static bool read_hex(const char *text, size_t count, unsigned char out[COX_KEY_SECRET]) {
  while (count > 0 && (text[count - 1] == '\n' || text[count - 1] == '\r' || text[count - 1] == ' ')) count--;
  if (count != COX_KEY_SECRET * 2) return false;
  for (size_t i = 0; i < COX_KEY_SECRET; i++) {
    const int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = (unsigned char)(high * 16 + low);
  }
  return true;
}

struct cox_key *cox_key_load(const char *path, struct cox_err *err) {
  const int fd = open_checked(path, err);
  if (fd < 0) return NULL;
  char text[COX_KEY_SECRET * 2 + 8];
  unsigned char secret[COX_KEY_SECRET] = {0};
  struct cox_key *key = NULL;
  const ssize_t count = read(fd, text, sizeof text);
  if (count >= 0 && read_hex(text, (size_t)count, secret)) {
    struct cox_err why = {0};
    key = cox_key_create(secret, &why);
    if (key == NULL) cox_err_set(err, why.code, "the key file %s cannot be used: %s", path, why.text);
  } else {
    cox_err_set(err, COX_EINVAL, "the key file %s must hold 64 hex digits and nothing else: the private key", path);
  }
  OPENSSL_cleanse(text, sizeof text);
  OPENSSL_cleanse(secret, sizeof secret);
  close(fd);
  return key;
}

/* ---- use ---- */

const unsigned char *cox_key_public(const struct cox_key *key) { return key->public_key; }

void cox_key_sha256(const void *bytes, size_t count, unsigned char out[COX_KEY_DIGEST]) {
  unsigned length = 0;
  if (EVP_Digest(bytes, count, out, &length, EVP_sha256(), NULL) != 1 || length != COX_KEY_DIGEST) abort(); /* memory is at its end */
}

bool cox_key_sign(const struct cox_key *key, const void *document, size_t count, unsigned char signature[COX_KEY_SIGNATURE]) {
  unsigned char digest[COX_KEY_DIGEST];
  secp256k1_ecdsa_signature made;
  cox_key_sha256(document, count, digest);
  if (secp256k1_ecdsa_sign(key->context, &made, digest, key->secret, secp256k1_nonce_function_rfc6979, NULL) != 1) return false;
  secp256k1_ecdsa_signature_serialize_compact(key->context, signature, &made);
  return true;
}

bool cox_key_verify(const unsigned char public_key[COX_KEY_PUBLIC], const void *document, size_t count,
                    const unsigned char signature[COX_KEY_SIGNATURE]) {
  unsigned char digest[COX_KEY_DIGEST];
  secp256k1_ecdsa_signature made;
  secp256k1_pubkey point;
  cox_key_sha256(document, count, digest);
  return secp256k1_ec_pubkey_parse(secp256k1_context_static, &point, public_key, COX_KEY_PUBLIC) == 1 &&
         secp256k1_ecdsa_signature_parse_compact(secp256k1_context_static, &made, signature) == 1 &&
         secp256k1_ecdsa_verify(secp256k1_context_static, &made, digest, &point) == 1;
}

bool cox_key_address(const unsigned char public_key[COX_KEY_PUBLIC], const char *prefix, char out[COX_BECH32_TEXT]) {
  unsigned char digest[COX_KEY_DIGEST], address[EVP_MAX_MD_SIZE];
  unsigned count = 0;
  cox_key_sha256(public_key, COX_KEY_PUBLIC, digest);
  return EVP_Digest(digest, sizeof digest, address, &count, EVP_ripemd160(), NULL) == 1 && count == COX_KEY_ADDRESS &&
         cox_bech32_encode(prefix, address, count, out);
}
