# title: learn from one's control group whose sandbox this is and where it lies
# wall: cgroup_namespace
# source: cgroup_namespaces(7)
. ./attack.sh
while IFS=: read -r id list path; do
    [ "$path" = / ] || escaped "group $id $list is $path"
done < /proc/self/cgroup
while read -r _ _ _ root point rest; do
    case $rest in *cgroup*) escaped "control groups at $point from $root" ;; esac
done < /proc/self/mountinfo
held "the root of its own"
