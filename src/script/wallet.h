/* With what this participant signs: a key of its own, a program that has one, or nothing (then it only reads). */
#ifndef COX_SCRIPT_WALLET_H
#define COX_SCRIPT_WALLET_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "wallet/key.h"

struct cox_wallet {
  struct cox_key *key; /* NULL: none */
  char *signer;        /* path of a program; NULL: none */
  bool has_public_key;
  unsigned char public_key[COX_KEY_PUBLIC];
};

/* From `participant.key_file` or `participant.signer` of a configuration. False with every fault in `faults`: a file with a wrong
 * mode or content, a program that cannot be run, or a key that is not that of participant.address.                            */
bool cox_wallet_init(struct cox_wallet *wallet, const json_t *config, struct cox_faults *faults);
void cox_wallet_fini(struct cox_wallet *wallet);

#endif
