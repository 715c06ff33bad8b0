#!/usr/bin/env bash
# Audit a model, sign the evidence whether or not the gates hold, verify what was signed.
#   audit.sh PLAN FOLDER KEY.pem KEY.pub.pem [EARLIER-FOLDER]
# Ends with the audit's own exit code: 0 passed, 1 a gate failed, 2 a wrong request, 3 the model's side, 4 evidence.
set -euo pipefail
plan=$1 folder=$2 key=$3 public=$4 earlier=${5:-}

code=0
blackbox audit "$plan" -o "$folder" ${earlier:+--baseline "$earlier"} || code=$?
if [ "$code" -gt 1 ]; then  # no bundle was written
  exit "$code"
fi
blackbox sign "$folder" --key "$key"
blackbox verify "$folder" --key "$public"
exit "$code"
