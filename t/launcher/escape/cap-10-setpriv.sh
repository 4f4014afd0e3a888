# title: what util-linux offers to gain: setpriv with capabilities, users and securebits
# wall: capabilities seccomp_arguments
# gvisor: capabilities seccomp_arguments
. ./attack.sh
for options in '--inh-caps +setuid --ambient-caps +setuid' '--inh-caps +kill' '--reuid 0 --keep-groups' '--regid 0 --keep-groups' '--ruid 0'; do
    # shellcheck disable=SC2086
    if out=$(setpriv $options true 2>&1); then escaped "setpriv $options"; fi
done
held "$out"
