# title: ioctl requests of drivers: disks, network devices, loop, kvm, file system freeze, clone and dedupe
# wall: seccomp_ioctl
# gvisor: seccomp_ioctl
# source: ioctl_list(2)
import fcntl
import os
import socket
from attack import escaped, held

fd = os.open("f", os.O_CREAT | os.O_RDWR)
s = socket.socket(socket.AF_UNIX)
requests = {"FIFREEZE": (fd, 0xC0045877), "FITHAW": (fd, 0xC0045878), "FITRIM": (fd, 0xC0185879), "BLKGETSIZE64": (fd, 0x80081272), "FIBMAP": (fd, 1),
            "FIDEDUPERANGE": (fd, 0xC0189436), "FS_IOC_GETFSUUID": (fd, 0x80111500), "FS_IOC_SETFSLABEL": (fd, 0x41009432),
            "FS_IOC_ADD_ENCRYPTION_KEY": (fd, 0xC0506617), "LOOP_CTL_GET_FREE": (fd, 0x4C82), "KVM_GET_API_VERSION": (fd, 0xAE00), "SIOCETHTOOL": (s.fileno(), 0x8946)}
for name, (where, request) in requests.items():
    try:
        fcntl.ioctl(where, request, bytes(256))
        escaped(name)
    except OSError as e:
        if e.errno != 1:
            escaped("%s reaches a driver: %s" % (name, e.strerror))
held("%d requests" % len(requests))
