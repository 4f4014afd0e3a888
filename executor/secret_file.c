#include "executor/secret_file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int
secret_file_read(struct secret *ret, const char *path)
{
    ssize_t n = 0;
    int fd;

    memset(ret, 0, sizeof(*ret));
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    while (ret->len < sizeof(ret->data)) {
        n = read(fd, ret->data + ret->len, sizeof(ret->data) - ret->len);
        if (n <= 0) {
            break;
        }
        ret->len += (size_t)n;
    }
    if (n < 0) {
        n = -errno;
    }
    close(fd);
    if (n < 0) {
        secret_wipe(ret);
        return (int)n;
    }
    if (ret->len == sizeof(ret->data)) {
        secret_wipe(ret);
        return -EMSGSIZE;
    }
    if (ret->len > 0 && ret->data[ret->len - 1] == '\n') {
        ret->len--;
    }
    return 0;
}

void
secret_wipe(struct secret *secret)
{
    explicit_bzero(secret, sizeof(*secret));
}
