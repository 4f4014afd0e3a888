. "${BASH_SOURCE[0]%/*}/repl_bash.sh"; if [[ -n ${1-} ]]; then . "$1"; fi 2> /dev/null; __sandbox_ready "$@"; set --; while __sandbox_next; do builtin eval "$__sandbox_code" 3>&-; { __sandbox_done; } 2> /dev/zero; done
# Keeps the bash of a session: repl.sh [STATE]. Speaks frames on descriptor 3 (docs/agent.md).
#
# All is on the first line, because what bash complains about in an eval it counts from the eval's own line; and
# outside of a function, because `declare` in one would be local. Descriptor 3 is closed while the code runs: bash
# keeps a copy that no program gets (close-on-exec) and puts it back afterwards.
#
# An interrupt, `set -e` and `set -u` end a shell that is not interactive, and nothing in bash gets out of an eval's
# loops and functions but the end. So the state is written down at the end, and the same process starts anew with it.
