# title: a user namespace by unshare(1), and root in it
# wall: seccomp nested_namespaces landlock
# gvisor: seccomp
. ./attack.sh
for options in -Ur -Urn -Urm -Urpf -Uri -Uru -UrC; do
    if out=$(unshare $options id -u 2>&1) && [ "$out" = 0 ]; then escaped "unshare $options"; fi
done
held "$out"
