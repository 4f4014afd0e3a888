# title: forbidden calls from a language that the sandbox' makers did not think of
# wall: seccomp_calls
. ./attack.sh
command -v perl > /dev/null || held "no perl"
for call in 'keyctl 250 0,-3,1' 'io_setup 206 1,pack("Q",0)' 'adjtimex 159 "\0"x256' 'name_to_handle_at 303 -100,"/tmp",pack("I",0)."\0"x128,"\0"x8,0' 'userfaultfd 323 1'; do
    read -r name number arguments <<< "$call"
    out=$(perl -e "\$r = syscall($number, $arguments); print \$r >= 0 || \$! == 75 ? 'done' : \$!" 2>&1)
    [ "$out" = done ] && escaped "$name"
done
held "$out"
