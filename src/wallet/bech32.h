/* Addresses as the chain writes them: bytes in bech32 (BIP-173), "gonka1…". */
#ifndef COX_WALLET_BECH32_H
#define COX_WALLET_BECH32_H

#include <stdbool.h>
#include <stddef.h>

enum { COX_BECH32_TEXT = 91, COX_BECH32_BYTES = 50 /* the longest payload of a text of 90 characters */ };

/* False: the prefix is empty or has characters that BIP-173 forbids, or the text would have more than 90 characters. */
bool cox_bech32_encode(const char *prefix, const unsigned char *bytes, size_t count, char out[COX_BECH32_TEXT]);
/* Checks everything that BIP-173 asks for, and that the payload is whole bytes. `prefix` comes in small letters. */
bool cox_bech32_decode(const char *text, char prefix[COX_BECH32_TEXT], unsigned char bytes[COX_BECH32_BYTES], size_t *count);

#endif
