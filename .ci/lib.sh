# Sourced by every step: stops at the first error, starts in the repository, says what is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# Both cfgs: with one of them models explore one schedule and pass.
LOOM_FLAGS="--cfg loom --cfg crossbeam_loom"

# Prints a command, then runs it.
run() {
    printf '+ %s\n' "$*"
    "$@"
}

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}
