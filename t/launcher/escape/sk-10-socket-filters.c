// title: attach programs to sockets: classic BPF, reuseport selection, programs by descriptor
// wall: seccomp_sockets
// gvisor: seccomp_sockets
// source: CVE-2014-0205 class: the BPF JIT fed by anybody
#include "attack.h"

#include <linux/filter.h>
#include <sys/socket.h>

int
main(void)
{
    struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, 0xffff);
    struct sock_fprog program = { 1, &pass };
    static const int options[] = { 26 /* SO_ATTACH_FILTER */, 51 /* SO_ATTACH_REUSEPORT_CBPF */,
                                   50 /* SO_ATTACH_BPF */, 52 /* ..._EBPF */ };

    for (int family = 1; family <= 2; family++) {
        int fd = socket(family, SOCK_DGRAM, 0);

        for (unsigned i = 0; fd >= 0 && i < 4; i++) {
            if (setsockopt(fd, SOL_SOCKET, options[i], &program, sizeof(program)) == 0 || errno == EBADF) {
                escaped("family %d, option %d", family, options[i]);
            }
        }
    }
    held("%s", strerror(errno));
}
