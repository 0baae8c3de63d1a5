/* Keys, signatures and addresses against published vectors: BIP-173, RFC 6979 over secp256k1, and a signed Cosmos document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "wallet/key.h"

static size_t from_hex(const char *text, unsigned char *out) {
  size_t count = 0;
  for (; text[2 * count] != '\0'; count++) {
    unsigned value;
    assert_int_equal(sscanf(text + 2 * count, "%2x", &value), 1);
    out[count] = (unsigned char)value;
  }
  return count;
}

static void bech32_takes_what_bip_173_calls_good(void **state) {
  (void)state;
  static const char *const good[] = {
      "A12UEL5L", "a12uel5l", "?1ezyfcl",
      "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
      "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
      "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    char prefix[COX_BECH32_TEXT];
    unsigned char bytes[COX_BECH32_BYTES];
    size_t count;
    /* "split1…" and "abcdef1…" are whole bytes or not: only the checksum is of interest, so a bad padding may be refused. */
    const bool is_taken = cox_bech32_decode(good[i], prefix, bytes, &count);
    if (i < 4) assert_true(is_taken);
    if (!is_taken) continue;
    char again[COX_BECH32_TEXT];
    assert_true(cox_bech32_encode(prefix, bytes, count, again));
    assert_int_equal(strcasecmp(again, good[i]), 0);
  }
}

static void bech32_refuses_what_bip_173_calls_bad(void **state) {
  (void)state;
  static const char *const bad[] = {
      "\x20" "1nwldj5", "\x7f" "1axkwrx", "\x80" "1eym55h",
      "an84characterslonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1569pvx",
      "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "de1lg7wt\xff", "A1G7SGD8", "10a06t8", "1qzzfhee", "",
      "cosmos1pkptre7fdkl6gfrzlesjjvhxhlc3r4gmmk8rs7", "Cosmos1pkptre7fdkl6gfrzlesjjvhxhlc3r4gmmk8rs6",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char prefix[COX_BECH32_TEXT];
    unsigned char bytes[COX_BECH32_BYTES];
    size_t count;
    if (cox_bech32_decode(bad[i], prefix, bytes, &count)) fail_msg("%s was taken", bad[i]);
  }
  char out[COX_BECH32_TEXT];
  const unsigned char bytes[COX_BECH32_BYTES] = {0};
  assert_false(cox_bech32_encode("", bytes, 20, out));
  assert_false(cox_bech32_encode("UP", bytes, 20, out));
  assert_false(cox_bech32_encode("gonka", bytes, COX_BECH32_BYTES, out)); /* 92 characters */
}

/* Of RFC 6979's method over secp256k1 with SHA-256, as the libraries of Bitcoin publish them; s is the lower one. */
static void signatures_are_those_of_rfc_6979(void **state) {
  (void)state;
  static const struct {
    const char *secret, *message, *signature;
  } rows[] = {
      {"0000000000000000000000000000000000000000000000000000000000000001", "Satoshi Nakamoto",
       "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"},
      {"0000000000000000000000000000000000000000000000000000000000000001",
       "All those moments will be lost in time, like tears in rain. Time to die...",
       "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21"},
      {"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", "Satoshi Nakamoto",
       "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d06b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5"},
      {"f8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181", "Alan Turing",
       "7063ae83e7f62bbb171798131b4a0564b956930092b33b07b395615d9ec7e15c58dfcc1e00a35e1572f366ffe34ba0fc47db1e7189759b9fb233c5b05ab388ea"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    unsigned char secret[COX_KEY_SECRET], expected[COX_KEY_SIGNATURE], made[COX_KEY_SIGNATURE];
    from_hex(rows[i].secret, secret);
    from_hex(rows[i].signature, expected);
    struct cox_key *const key = cox_key_create(secret, NULL);
    assert_non_null(key);
    assert_true(cox_key_sign(key, rows[i].message, strlen(rows[i].message), made));
    assert_memory_equal(made, expected, COX_KEY_SIGNATURE);
    assert_true(cox_key_verify(cox_key_public(key), rows[i].message, strlen(rows[i].message), made));
    made[40] ^= 1;
    assert_false(cox_key_verify(cox_key_public(key), rows[i].message, strlen(rows[i].message), made));
    cox_key_destroy(key);
  }
}

/* The document, key, address and signature that CosmJS publishes for SIGN_MODE_DIRECT. */
static void a_published_document_of_cosmos_is_verified(void **state) {
  (void)state;
  static const char document_hex[] =
      "0a93010a90010a1c2f636f736d6f732e62616e6b2e763162657461312e4d736753656e6412700a2d636f736d6f7331706b707472653766646b6c3667667"
      "27a6c65736a6a766878686c63337234676d6d6b38727336122d636f736d6f7331717970717870713971637273737a673270767871367273307a71673379"
      "7963356c7a763778751a100a0575636f736d12073132333435363712650a4e0a460a1f2f636f736d6f732e63727970746f2e736563703235366b312e507"
      "5624b657912230a21034f04181eeba35391b858633a765c4a0c189697b40d216354d50890d350c7029012040a02080112130a0d0a0575636f736d120432"
      "30303010c09a0c1a0c73696d642d74657374696e672001";
  unsigned char document[512], public_key[COX_KEY_PUBLIC], signature[COX_KEY_SIGNATURE];
  const size_t count = from_hex(document_hex, document);
  from_hex("034f04181eeba35391b858633a765c4a0c189697b40d216354d50890d350c70290", public_key);
  from_hex("c9dd20e07464d3a688ff4b710b1fbc027e495e797cfa0b4804da2ed117959227772de059808f765aa29b8f92edf30f4c2c5a438e30d3fe6897daa7141e3ce6f9",
           signature);
  assert_true(cox_key_verify(public_key, document, count, signature));
  char address[COX_BECH32_TEXT];
  assert_true(cox_key_address(public_key, "cosmos", address));
  assert_string_equal(address, "cosmos1pkptre7fdkl6gfrzlesjjvhxhlc3r4gmmk8rs6");
  for (size_t i = 0; i < count; i += 37) { /* a changed byte is refused */
    document[i] ^= 0x10;
    assert_false(cox_key_verify(public_key, document, count, signature));
    document[i] ^= 0x10;
  }
}

static void write_file(const char *path, const char *text, mode_t mode) {
  FILE *const file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  chmod(path, mode);
}

static void a_key_file_is_refused_for_what_is_wrong_with_it(void **state) {
  (void)state;
  char folder[] = "/tmp/coxswain-wallet-XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/key", folder);
  static const char good[] = "00000000000000000000000000000000000000000000000000000000000000A1\n";
  static const struct {
    const char *text, *words;
    mode_t mode;
  } rows[] = {
      {good, "has mode 0640", 0640},
      {good, "has mode 0604", 0604},
      {good, "has mode 0700", 0700},
      {"", "64 hex digits", 0600},
      {"xyz", "64 hex digits", 0600},
      {"00000000000000000000000000000000000000000000000000000000000000A", "64 hex digits", 0600},
      {"00000000000000000000000000000000000000000000000000000000000000A1A1", "64 hex digits", 0600},
      {"00000000000000000000000000000000000000000000000000000000000000G1", "64 hex digits", 0600},
      {"0000000000000000000000000000000000000000000000000000000000000000", "0, or not below", 0600},
      {"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", "0, or not below", 0600},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct cox_err err = {0};
    write_file(path, rows[i].text, rows[i].mode);
    assert_null(cox_key_load(path, &err));
    if (strstr(err.text, rows[i].words) == NULL) fail_msg("row %zu: %s", i, err.text);
    assert_non_null(strstr(err.text, path));
    assert_null(strstr(err.text, "A1\n"));
  }
  for (unsigned i = 0; i < 2; i++) {
    write_file(path, good, i == 0 ? 0600 : 0400);
    struct cox_key *const key = cox_key_load(path, NULL);
    assert_non_null(key);
    cox_key_destroy(key);
    chmod(path, 0600);
  }
  unlink(path);
  struct cox_err err = {0};
  assert_null(cox_key_load(path, &err));
  assert_int_equal(err.code, COX_ENOENT);
  assert_null(cox_key_load(folder, &err));
  assert_int_equal(err.code, COX_EINVAL);
  rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bech32_takes_what_bip_173_calls_good),
      cmocka_unit_test(bech32_refuses_what_bip_173_calls_bad),
      cmocka_unit_test(signatures_are_those_of_rfc_6979),
      cmocka_unit_test(a_published_document_of_cosmos_is_verified),
      cmocka_unit_test(a_key_file_is_refused_for_what_is_wrong_with_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
