# title: ask for a variable that makes bash read a file of ours first
# wall: environment
# gvisor: environment
# env: BASH_ENV=/workspace/attack.sh
. ./attack.sh
[ -z "$BASH_ENV" ] || escaped "BASH_ENV is $BASH_ENV"
held "not set"
