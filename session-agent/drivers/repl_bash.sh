# What repl.sh is made of. Every name begins with __sandbox_; every builtin is called as such: the code may have functions of the same name.

BASH_ARGV0=bash
shopt -s execfail
__sandbox_driver=${BASH_SOURCE[1]}
__sandbox_code= __sandbox_flags= __sandbox_running= __sandbox_heard= __sandbox_status=0 __sandbox_data=
__sandbox_env_names=() __sandbox_env_saved=()
__sandbox_by_signal='{"name":"Interrupted","value":"by SIGINT","traceback":""}'

# Exactly $1 bytes of descriptor 3 into __sandbox_data. A NUL, which no variable holds, ends a read; it is left out.
__sandbox_read() {
    local LC_ALL=C IFS= left=$1 chunk
    __sandbox_data=
    while ((left > 0)); do
        builtin read -r -d '' -n "$left" -u 3 chunk || return 1
        __sandbox_data+=$chunk
        if ((${#chunk} < left)); then
            ((left -= ${#chunk} + 1))
        else
            left=0
        fi
    done
}

# The u32 before a frame, little-endian, into __sandbox_data.
__sandbox_read_size() {
    local LC_ALL=C IFS= byte value size=0 shift
    for shift in 0 8 16 24; do
        builtin read -r -d '' -n 1 -u 3 byte || return 1
        value=0
        if [[ -n $byte ]]; then builtin printf -v value %d "'$byte"; fi
        ((size |= (value & 255) << shift))
    done
    __sandbox_data=$size
}

__sandbox_send() {
    local LC_ALL=C IFS= head n
    n=${#1}
    builtin printf -v head '\\x%02x\\x%02x\\x%02x\\x%02x' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24))
    builtin printf "$head%s" "$1" >&3
}

# A JSON string's inside as text, into __sandbox_data.
__sandbox_unescape() {
    local rest=$1 text= hex
    __sandbox_data=
    while [[ $rest == *\\* ]]; do
        text+=${rest%%\\*}
        rest=${rest#*\\}
        case ${rest:0:1} in
        n) text+=$'\n' ;;
        t) text+=$'\t' ;;
        r) text+=$'\r' ;;
        b) text+=$'\b' ;;
        f) text+=$'\f' ;;
        u)
            builtin printf -v hex '\\u%s' "${rest:1:4}"
            builtin printf -v hex %b "$hex"
            text+=$hex
            rest=${rest:4}
            ;;
        *) text+=${rest:0:1} ;;
        esac
        rest=${rest:1}
    done
    __sandbox_data=$text$rest
}

# "env":{...} of a step's head: exported for the step.
__sandbox_set_env() {
    local rest=$1 name pair='^[,{]"([A-Za-z_][A-Za-z0-9_]*)":"(([^"\\]|\\.)*)"'
    __sandbox_env_names=() __sandbox_env_saved=()
    [[ $rest == *'"env":{'* ]] || return 0
    rest={${rest#*'"env":{'}
    while [[ $rest =~ $pair ]]; do
        rest=${rest:${#BASH_REMATCH[0]}}
        name=${BASH_REMATCH[1]}
        __sandbox_unescape "${BASH_REMATCH[2]}"
        __sandbox_env_names+=("$name")
        if [[ -v $name ]]; then __sandbox_env_saved+=("=${!name}"); else __sandbox_env_saved+=(""); fi
        builtin export "$name=$__sandbox_data"
    done
}

__sandbox_reset_env() {
    local i
    for i in "${!__sandbox_env_names[@]}"; do
        if [[ -n ${__sandbox_env_saved[i]} ]]; then
            builtin printf -v "${__sandbox_env_names[i]}" %s "${__sandbox_env_saved[i]:1}"
        else
            builtin unset -v "${__sandbox_env_names[i]}"
        fi
    done
    __sandbox_env_names=()
}

# What the shell is told to do about errors is the code's business; here it would only be in the way. Who calls this turns
# standard error to /dev/zero, which is silent as well and which no code uses: an interrupt sees by it where it is.
__sandbox_quiet() {
    __sandbox_flags=${-//[!aefkuvxCEPT]/}
    set +aefkuvxCEPT
}

__sandbox_was() {
    return "$1"
}

__sandbox_next() {
    local size IFS=$' \t\n'
    __sandbox_read_size || return 1
    size=$__sandbox_data
    __sandbox_read "$size" || return 1
    __sandbox_code=${__sandbox_data#*$'\n'}
    __sandbox_set_env "${__sandbox_data%%$'\n'*}"
    # $? is that of the step before, when saying so is neither seen nor an error.
    if ((__sandbox_status != 0)) && [[ $__sandbox_flags != *[ex]* ]]; then
        __sandbox_code="__sandbox_was $__sandbox_status; $__sandbox_code"
    fi
    if [[ -n $__sandbox_flags ]]; then __sandbox_code="set -$__sandbox_flags; $__sandbox_code"; fi
    __sandbox_data=
    # Where bash will keep descriptor 3: the first free one from 10 on.
    __sandbox_copy=10
    while [[ -e /proc/self/fd/$__sandbox_copy ]]; do ((__sandbox_copy++)); done
    __sandbox_running=1 __sandbox_heard=
    builtin trap __sandbox_interrupted INT
    builtin trap __sandbox_poked URG
    return 0
}

# The frame of the step's end, into __sandbox_data.
__sandbox_end() {
    local status=succeeded
    if ((__sandbox_status != 0)); then status=failed; fi
    __sandbox_running=
    __sandbox_reset_env
    __sandbox_data="E{\"status\":\"${1:-$status}\",\"error\":${2:-null},\"exit_code\":$__sandbox_status,\"dropped\":0}"
}

__sandbox_done() {
    { __sandbox_status=$? && __sandbox_quiet; } 2> /dev/zero
    builtin trap '' INT URG
    if [[ -n $__sandbox_heard ]]; then
        __sandbox_status=130
        __sandbox_end interrupted "$__sandbox_by_signal"
    else
        __sandbox_end
    fi
    __sandbox_send "$__sandbox_data"
}

# Ends the step, writes down the state and starts anew; only then the end is told: until there is a trap again SIGINT
# would be the end of all, and what a shell ignores from its start can have no trap.
__sandbox_again() {
    local file=${TMPDIR:-/tmp}/.sandbox-bash-$$ line
    __sandbox_end "$@"
    __sandbox_frame=$__sandbox_data
    {
        builtin declare -p
        builtin declare -f
        builtin alias -p
        builtin trap -p
        builtin shopt -p
        builtin shopt -po | while builtin read -r line; do
            # Those of them that are letters are put back before the next step's code.
            case $line in
            *errexit | *nounset | *xtrace | *verbose | *noexec | *noglob | *noclobber | *allexport | *keyword | *errtrace | *functrace | *physical | *posix) ;;
            *) builtin printf '%s\n' "$line" ;;
            esac
        done
    } >| "$file" 2> /dev/null
    builtin trap - INT URG EXIT
    # Copies of the copy are close-on-exec too, but for 0 to 2.
    builtin exec "$BASH" "$__sandbox_driver" "$file" "$__sandbox_frame" 0>&"$__sandbox_copy"
}

# Descriptor 3, as the driver knows it. The eval's redirection holds in the code, not before and behind it, and some ends
# of the shell take it back; what has the copy's number then is a pipe, if anything.
__sandbox_reopen() {
    if [[ -S /proc/self/fd/$__sandbox_copy ]]; then
        # By itself: `builtin exec` would take it back.
        exec 3>&"$__sandbox_copy"
    else
        __sandbox_copy=3
    fi
}

# Whether SIGINT is blocked: bash reads a substitution's output so, and looks for traps meanwhile.
__sandbox_is_blocked() {
    local IFS=$' \t\n' name value
    while builtin read -r name value; do
        # With its number: in a trap the last status is that from before the trap.
        if [[ $name == SigBlk: ]]; then return $((!(16#$value & 2))); fi
    done < /proc/self/status
    return 1
}

# A bash that is executed with SIGINT blocked never hears one: there it is raised once more, for when it is not blocked any more.
__sandbox_interrupted() {
    if [[ -z $__sandbox_running ]]; then
        return 0
    elif [[ /proc/self/fd/2 -ef /dev/zero ]]; then
        # The step is at its end already, and standard error away, which would stay so.
        __sandbox_heard=1
    elif { __sandbox_is_blocked; } 2> /dev/zero; then
        builtin kill -INT "$$"
    else
        { __sandbox_status=130 && __sandbox_quiet; } 2> /dev/zero
        __sandbox_reopen
        __sandbox_again interrupted "$__sandbox_by_signal"
    fi
}

# SIGURG tells again that the step is to end. A SIGINT that came before there was a trap is gone; one that came between bash's
# last look and a system call waits for the call's end (`read`, `wait`), unless another signal breaks that off. A second SIGINT
# would be the end of a shell that starts anew, and the code's own trap must not have two; SIGURG by itself does nothing.
__sandbox_poked() {
    if [[ -z $__sandbox_running || ${FUNCNAME[*]} == *__sandbox_poked*__sandbox_poked* ]]; then return 0; fi
    if [[ $(builtin trap -p INT 2> /dev/null) == *__sandbox_interrupted* ]]; then __sandbox_interrupted; fi
}

# The end is wanted: nothing else tells `exit` from an error under `set -e`.
exit() {
    local status=$?
    __sandbox_running=
    builtin exit "${1-$status}"
}

# What else ends the shell within a step is an error of the step.
__sandbox_left() {
    { __sandbox_status=$? && __sandbox_quiet; } 2> /dev/zero
    if [[ -n $__sandbox_running ]]; then
        __sandbox_reopen
        if [[ -n $__sandbox_heard ]]; then __sandbox_interrupted; fi
        __sandbox_again failed
    fi
}

__sandbox_ready() {
    local file=${1-}
    builtin trap '' INT URG
    __sandbox_running=
    if [[ -z $file ]]; then
        __sandbox_send R
    else
        exec 3>&0 0< /dev/null
        rm -f "$file"
        __sandbox_send "$2"
    fi
}

builtin trap __sandbox_left EXIT
