#!/bin/sh
# Leases a node from the broker, sends one chat request to it, releases it with how that went.
#
#   tools/examples/lease.sh MODEL "What is a coxswain?"
#
# COXSWAIN_ADMIN: the broker (http://127.0.0.1:9200); COXSWAIN_TOKEN: its token, when it asks for one. Needs curl and jq.
set -eu

admin=${COXSWAIN_ADMIN:-http://127.0.0.1:9200}
model=${1:?usage: lease.sh MODEL PROMPT}
prompt=${2:?usage: lease.sh MODEL PROMPT}

broker() { # METHOD PATH BODY
  curl -sS -X "$1" "$admin$2" -d "$3" ${COXSWAIN_TOKEN:+-H "Authorization: Bearer $COXSWAIN_TOKEN"}
}

# Wait up to 10 s for a free node; the lease frees itself after 5 min, should we be killed.
lease=$(broker POST /v1/leases "$(jq -n --arg model "$model" '{$model, wait_ms: 10000, ttl_ms: 300000}')")
id=$(printf '%s' "$lease" | jq -r '.lease_id // empty')
if [ -z "$id" ]; then
  printf '%s\n' "$lease" | jq -r '.error, (.reasons[]? | "  \(.node_id): \(.reason)")' >&2
  exit 1
fi
url=$(printf '%s' "$lease" | jq -r .inference_url)

body=$(mktemp)
outcome=transport_error
finish() {
  rm -f "$body"
  broker DELETE "/v1/leases/$id" "{\"outcome\":\"$outcome\"}" > /dev/null
}
trap finish EXIT

request=$(jq -n --arg model "$model" --arg prompt "$prompt" '{$model, messages: [{role: "user", content: $prompt}]}')
code=$(curl -sS -m 240 -o "$body" -w '%{http_code}' -H 'Content-Type: application/json' "$url/v1/chat/completions" -d "$request") || {
  test $? -eq 28 && outcome=timeout
  exit 1
}
case $code in
  2??) outcome=success ;;
  4??) outcome=application_error ;; # our fault, not the node's
esac
cat "$body"
test "$outcome" = success
