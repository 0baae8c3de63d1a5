#include "script/wallet.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int base64_value(char c) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *const place = c != '\0' ? strchr(alphabet, c) : NULL;
  return place != NULL ? (int)(place - alphabet) : -1;
}

/* 33 bytes are 44 characters without padding. */
static bool read_public_key(const char *text, unsigned char out[COX_KEY_PUBLIC]) {
  if (text == NULL || strlen(text) != 44) return false;
  for (size_t i = 0; i < 11; i++) {
    unsigned held = 0;
    for (size_t k = 0; k < 4; k++) {
      const int value = base64_value(text[4 * i + k]);
      if (value < 0) return false;
      held = held << 6 | (unsigned)value;
    }
    out[3 * i] = (unsigned char)(held >> 16);
    out[3 * i + 1] = (unsigned char)(held >> 8);
    out[3 * i + 2] = (unsigned char)held;
  }
  return out[0] == 2 || out[0] == 3;
}

static void check_address(const struct cox_wallet *wallet, const char *from, const char *address, struct cox_faults *faults) {
  char prefix[COX_BECH32_TEXT], own[COX_BECH32_TEXT];
  unsigned char bytes[COX_BECH32_BYTES];
  size_t count;
  if (address == NULL) {
    cox_faults_add(faults, NULL, 0, "participant.address is missing: transactions are signed for it");
  } else if (!cox_bech32_decode(address, prefix, bytes, &count)) {
    cox_faults_add(faults, NULL, 0, "participant.address %s is no address: its checksum is wrong", address);
  } else if (!cox_key_address(wallet->public_key, prefix, own) || strcmp(own, address) != 0) {
    cox_faults_add(faults, NULL, 0, "%s is the key of %s, not of participant.address %s", from, own, address);
  }
}

bool cox_wallet_init(struct cox_wallet *wallet, const json_t *config, struct cox_faults *faults) {
  *wallet = (struct cox_wallet){0};
  const json_t *const participant = json_object_get(config, "participant");
  const char *const file = json_string_value(json_object_get(participant, "key_file"));
  const char *const signer = json_string_value(json_object_get(participant, "signer"));
  const char *const address = json_string_value(json_object_get(participant, "address"));
  const size_t before = faults->count;
  if (file != NULL && signer != NULL) {
    cox_faults_add(faults, NULL, 0, "participant.key_file and participant.signer are both set: keep the one that signs");
  } else if (file != NULL) {
    struct cox_err err = {0};
    wallet->key = cox_key_load(file, &err);
    if (wallet->key == NULL) {
      cox_faults_add(faults, NULL, 0, "participant.key_file: %s", err.text);
    } else {
      memcpy(wallet->public_key, cox_key_public(wallet->key), COX_KEY_PUBLIC);
      wallet->has_public_key = true;
      check_address(wallet, file, address, faults);
    }
  } else if (signer != NULL) {
    wallet->signer = strdup(signer);
    wallet->has_public_key = read_public_key(json_string_value(json_object_get(participant, "pubkey")), wallet->public_key);
    if (access(signer, X_OK) != 0) cox_faults_add(faults, NULL, 0, "participant.signer: the program %s cannot be run", signer);
    if (wallet->has_public_key) check_address(wallet, "participant.pubkey", address, faults);
    else cox_faults_add(faults, NULL, 0, "participant.pubkey must be a compressed secp256k1 key in base64: participant.signer signs for it");
  }
  if (faults->count == before) return true;
  cox_wallet_fini(wallet);
  return false;
}

void cox_wallet_fini(struct cox_wallet *wallet) {
  cox_key_destroy(wallet->key);
  free(wallet->signer);
  *wallet = (struct cox_wallet){0};
}
