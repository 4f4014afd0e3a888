# title: learn the host's directories from the table of mounts
# wall: own_root
. ./attack.sh
while read -r _ _ _ root point _; do
    case $point in
    /|/usr|/usr/*|/etc|/etc/*|/dev|/dev/*|/proc|/proc/*|/opt/sandbox|/opt/sandbox/*|/workspace|/tmp|/run/sandbox|/var/tmp|/sys|/sys/*) ;;
    *) escaped "mount point $point" ;;
    esac
    case $root in
    /home*|/root*|/var/*|/tmp/*) escaped "mount of $root" ;;
    esac
done < /proc/self/mountinfo
for place in /root /home /srv /boot /var/lib /var/log /mnt /media; do
    [ -z "$(ls -A $place 2>/dev/null)" ] || escaped "$place holds $(ls -A $place | head -1)"
done
held "our own directories only"
