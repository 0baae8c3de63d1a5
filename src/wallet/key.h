/* The participant's key: secp256k1, as Cosmos chains sign with it. The secret never leaves this file but into signatures. */
#ifndef COX_WALLET_KEY_H
#define COX_WALLET_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "wallet/bech32.h"

enum { COX_KEY_SECRET = 32, COX_KEY_PUBLIC = 33, COX_KEY_SIGNATURE = 64, COX_KEY_ADDRESS = 20, COX_KEY_DIGEST = 32 };

struct cox_key;

/* From a file with 64 hex digits (and perhaps a line end) that nobody but its owner may read or write (mode 0600 or 0400).
 * NULL with COX_ENOENT, COX_EINVAL or COX_ESYS in `err`: it is said what is wrong, never what stands in it.               */
struct cox_key *cox_key_load(const char *path, struct cox_err *err);
/* From the secret itself; NULL: it is 0 or not below the order of the curve. */
struct cox_key *cox_key_create(const unsigned char secret[COX_KEY_SECRET], struct cox_err *err);
/* Wipes the secret. */
void cox_key_destroy(struct cox_key *key);

/* Compressed. */
const unsigned char *cox_key_public(const struct cox_key *key);
/* SHA-256, then ECDSA with the nonce of RFC 6979 and the lower of the two values of s; r and s, 32 bytes each. Any thread. */
bool cox_key_sign(const struct cox_key *key, const void *document, size_t count, unsigned char signature[COX_KEY_SIGNATURE]);
/* Is that a signature of the document by that key, with the lower s? Any thread. */
bool cox_key_verify(const unsigned char public_key[COX_KEY_PUBLIC], const void *document, size_t count,
                    const unsigned char signature[COX_KEY_SIGNATURE]);
/* RIPEMD-160 of SHA-256 of the public key, in bech32. False: a bad prefix, or OpenSSL has no RIPEMD-160. */
bool cox_key_address(const unsigned char public_key[COX_KEY_PUBLIC], const char *prefix, char out[COX_BECH32_TEXT]);
void cox_key_sha256(const void *bytes, size_t count, unsigned char out[COX_KEY_DIGEST]);

#endif
