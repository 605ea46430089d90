# Steps of a run: named and timed, one after the other or beside each other. For `source`, by bash with -euo pipefail.

logs=$(mktemp -d)
step_name="" step_begun=0 took=()
declare -A job=() log=()

clock() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }
note() { took+=("$(printf '%13s  %s' "$(clock "$2")" "$1")"); }

over() { # the step before
  [ -z "$step_name" ] || note "$step_name" $((SECONDS - step_begun))
  step_name=""
}

step() { # step NAME: what follows is this step
  over
  step_name=$* step_begun=$SECONDS
  printf '\n== %s (after %s)\n' "$*" "$(clock "$SECONDS")"
}

beside() { # beside NAME COMMAND…: begins it; what it says is kept until `settle NAME`
  local name=$1 to="$logs/${#log[@]}"
  shift
  over
  printf '\n== %s (after %s, beside what follows)\n' "$name" "$(clock "$SECONDS")"
  # In a process group of its own, so that all of it can be ended.
  set -m
  (
    set -euo pipefail
    begun=$SECONDS
    trap 'echo $((SECONDS - begun)) >"$to.seconds"' EXIT
    "$@"
  ) >"$to" 2>&1 </dev/null &
  job[$name]=$! log[$name]=$to
  set +m
}

settle() { # settle NAME: waits for what `beside` began, shows what it said; the run fails if it failed
  local name=$1 code=0
  over
  wait "${job[$name]}" || code=$?
  unset 'job[$name]'
  printf '\n== %s: what it said\n' "$name"
  cat "${log[$name]}"
  note "$name (beside others)" "$(cat "${log[$name]}.seconds" 2>/dev/null || echo 0)"
  [ "$code" = 0 ] || { step_name=$name; exit 1; }
}

finished() {
  over
  printf '\nall passed after %s\n' "$(clock "$SECONDS")"
}

ended() {
  local code=$? name
  set +e
  for name in "${!job[@]}"; do
    kill -- "-${job[$name]}" 2>/dev/null && wait "${job[$name]}" 2>/dev/null
    printf '\n== %s: what it said until it was ended\n' "$name"
    tail -n 50 "${log[$name]}"
  done

  [ -z "${took[*]-}" ] || printf '%s\n' '' "${took[@]}"
  [ "$code" = 0 ] || printf '\nFAILED after %s: %s\n' "$(clock "$SECONDS")" "${step_name:-(between steps)}" >&2
  rm -rf "$logs"
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
