/* `wallet` for jobs: signing for the participant. The key itself is out of a script's reach. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "script/api.h"
#include "script/fiber.h"
#include "script/sandbox.h"
#include "script/wallet.h"

enum { DOCUMENT_MAX = 1 << 20, OUTPUT_MAX = 1024 };

#define SIGN_TIMEOUT_MS 30000

static const struct cox_wallet *wallet_of(lua_State *L) {
  struct cox_fiber_vm *const owner = cox_vm_of(L)->owner;
  return owner != NULL ? owner->context->wallet : NULL;
}

static int refuse(lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

static int has_no_key(lua_State *L) { return refuse(L, "no key: set participant.key_file or participant.signer to send transactions"); }

static int public_key(lua_State *L) {
  const struct cox_wallet *const wallet = wallet_of(L);
  if (wallet == NULL || !wallet->has_public_key) return has_no_key(L);
  lua_pushlstring(L, (const char *)wallet->public_key, COX_KEY_PUBLIC);
  return 1;
}

static bool read_hex(const char *text, size_t count, unsigned char out[COX_KEY_SIGNATURE]) {
  while (count > 0 && strchr(" \r\n", text[count - 1]) != NULL) count--;
  if (count != COX_KEY_SIGNATURE * 2 || strspn(text, "0123456789abcdefABCDEF") < count) return false;
  for (size_t i = 0; i < COX_KEY_SIGNATURE; i++) {
    unsigned value = 0;
    if (sscanf(text + 2 * i, "%2x", &value) != 1) return false;
    out[i] = (unsigned char)value;
  }
  return true;
}

/* The document is the first argument. What a program says is believed only when it is a signature of that document. */
static int signed_outside(lua_State *L, int status, lua_KContext context) {
  (void)status, (void)context;
  const struct cox_io_reply *const reply = cox_fiber_check(L)->reply;
  if (reply->class_ != COX_CLASS_NONE) return refuse(L, reply->error != NULL ? reply->error : cox_class_name(reply->class_));
  unsigned char signature[COX_KEY_SIGNATURE];
  if (!read_hex(reply->body, reply->body_len, signature)) return refuse(L, "the signer wrote something else than 128 hex digits");
  size_t count;
  const char *const document = lua_tolstring(L, 1, &count);
  if (!cox_key_verify(wallet_of(L)->public_key, document, count, signature)) {
    return refuse(L, "the signer's signature is not one of this document by participant.pubkey (r and the lower s, 32 bytes each)");
  }
  lua_pushlstring(L, (const char *)signature, COX_KEY_SIGNATURE);
  return 1;
}

static int sign(lua_State *L) {
  struct cox_fiber *const fiber = cox_fiber_check(L);
  const struct cox_wallet *const wallet = wallet_of(L);
  size_t count;
  const char *const document = luaL_checklstring(L, 1, &count);
  luaL_argcheck(L, count > 0 && count <= DOCUMENT_MAX, 1, "a document has 1 byte to 1 MiB");
  lua_settop(L, 1);
  if (wallet == NULL || !wallet->has_public_key) return has_no_key(L);
  if (wallet->key != NULL) {
    unsigned char signature[COX_KEY_SIGNATURE];
    if (!cox_key_sign(wallet->key, document, count, signature)) return refuse(L, "signing failed");
    lua_pushlstring(L, (const char *)signature, COX_KEY_SIGNATURE);
    return 1;
  }
  fiber->request = (struct cox_io_request){.kind = COX_IO_PROGRAM, .method = "RUN", .url = wallet->signer, .body = document, .body_len = count,
                                           .timeout_ms = SIGN_TIMEOUT_MS, .response_max = OUTPUT_MAX};
  return lua_yieldk(L, 0, 0, signed_outside); /* the document stays on the stack, and so in memory */
}

static int sha256(lua_State *L) {
  size_t count;
  const char *const bytes = luaL_checklstring(L, 1, &count);
  unsigned char digest[COX_KEY_DIGEST];
  cox_key_sha256(bytes, count, digest);
  lua_pushlstring(L, (const char *)digest, sizeof digest);
  return 1;
}

static const struct cox_binding bindings[] = {
    {"public_key", public_key, "() → string?, string?", "The participant's compressed public key, 33 bytes; nil and why when nothing here can sign."},
    {"sign", sign, "(document: string) → string?, string?",
     "Signs SHA-256 of the document: r and s, 64 bytes. Asks the external signer when there is one, and waits for it. nil and why."},
    {"sha256", sha256, "(bytes: string) → string", "SHA-256, 32 bytes."},
    {NULL, NULL, NULL, NULL},
};

const struct cox_api cox_api_wallet = {
    .name = "wallet", .help = "Signing for the participant; the key itself is out of reach.", .contexts = COX_API_JOBS, .functions = bindings};

void cox_api_wallet_push(lua_State *L) { cox_bindings_push(L, bindings); }
