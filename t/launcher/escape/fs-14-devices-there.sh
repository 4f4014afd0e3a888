# title: look for devices that do something: disks, terminals, kvm, fuse, tun, kernel messages
# wall: devices
# gvisor: devices
. ./attack.sh
for path in $(find /dev -xdev \( -type c -o -type b \) 2>/dev/null); do
    case ${path##*/} in null | zero | full | random | urandom) continue ;; esac
    if (exec 9>> "$path") 2>/dev/null; then escaped "$path opens"; fi
done
for name in mem kmem port kmsg kvm fuse net/tun loop-control loop0 vda sda ptmx tty console userfaultfd vsock vhost-vsock hwrng cpu_dma_latency snapshot uinput; do
    if [ -e "/dev/$name" ] && (exec 9>> "/dev/$name") 2>/dev/null; then escaped "/dev/$name"; fi
done
held "five devices at most"
