# title: learn the host's paths from the mount table
# wall: own_root
# gvisor: own_root
. ./attack.sh
while read -r _ _ _ root point rest; do
    case $point in
        /sys* | /home* | /root* | /var/* | /boot* | /mnt/* | /etc/* | /run/[!s]*) escaped "mounted: $point from $root" ;;
    esac
    case $root in
        */ngx_sandbox* | */containers/* | */docker/* | /var/lib/* | /home/* | /root/* | /etc | /root) escaped "$point is $root" ;;
    esac
done < /proc/self/mountinfo
held "nothing of the host but its /usr"
