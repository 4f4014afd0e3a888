# title: learn from /proc/self/cgroup what the host calls us and who runs us
# wall: cgroup_namespace
. ./attack.sh
while IFS=: read -r _ _ path; do
    [ "$path" = / ] || escaped "our group is $path"
done < /proc/self/cgroup
if grep -q ngx_sandbox /proc/self/mountinfo /proc/self/cgroup 2>/dev/null; then escaped "the group's name"; fi
held "groups are roots"
